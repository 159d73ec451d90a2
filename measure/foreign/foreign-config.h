/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files for -readconfig: [GROUP] or [GROUP "ID"], then NAME = "VALUE" lines; '#' begins a comment line (QEMU's util/qemu-config.c). */

#include "foreign-pairs.h"

/* One section; `id` may be NULL. It may take the items. */
typedef int (*ConfigSection)(void *userdata, const char *group, const char *id, Pairs *items, char **reterr);

/* Calls `section` for each section, in order. -EINVAL with an error message that names the line. */
_warn_unused_result_ int foreign_config_read(
                const char *path, ConfigSection section, void *userdata, char **reterr);
