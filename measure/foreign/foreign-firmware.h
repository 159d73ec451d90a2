/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which file a QEMU command line has as firmware: pflash unit 0 if there is one, else -bios. */

#include <stdbool.h>

#include "foreign-qemu.h"

typedef struct QemuFirmware {
        char *path;  /* owned: to be opened here; NULL: the line names none */
        char *named; /* owned: as the line says it */
        char *store; /* owned: the file of pflash unit 1, which is not measured, or NULL */
        bool flash;
        bool probed;        /* QEMU finds the format out by content */
        bool beside_bios;   /* -bios is ignored */
        bool from_data_dir; /* found in a data directory of QEMU */
} QemuFirmware;

void qemu_firmware_done(QemuFirmware *f);
_warn_unused_result_ int qemu_line_firmware(const QemuLine *l, QemuFirmware *ret, char **reterr);
