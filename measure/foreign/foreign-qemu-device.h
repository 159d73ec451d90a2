/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Parts of foreign-qemu.c: what adds objects, drives and devices to a QemuLine. */

#include "foreign-qemu.h"

/* These take *p. */
_warn_unused_result_ int qemu_add_object(QemuLine *l, Pairs *p, char **reterr);
_warn_unused_result_ int qemu_add_drive(QemuLine *l, Pairs *p, char **reterr);

_warn_unused_result_ int qemu_add_flash_file(QemuLine *l, const char *file, char **reterr);
_warn_unused_result_ int qemu_add_blockdev(QemuLine *l, const char *text, char **reterr);
_warn_unused_result_ int qemu_add_device(QemuLine *l, const Pairs *p, char **reterr);
/* -global DRIVER.PROPERTY=VALUE, or the three as key=value. */
_warn_unused_result_ int qemu_add_global(QemuLine *l, const char *text, char **reterr);
/* -set GROUP.ID.PROPERTY=VALUE */
_warn_unused_result_ int qemu_check_set(const QemuLine *l, const char *text, char **reterr);
