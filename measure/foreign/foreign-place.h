/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where paths of a command line are to be looked for: those of a running process as that process sees them, with its working directory, its
 * root and its descriptors; all others from here. */

#include <stdbool.h>

#include "macro.h"

typedef struct ForeignPlace {
        const char *pid; /* NULL: no process */
        bool moved;      /* the process changed its root after it had opened its files */
} ForeignPlace;

/* The path to open here; owned, NULL: out of memory. */
char *foreign_path(const ForeignPlace *place, const char *path);
