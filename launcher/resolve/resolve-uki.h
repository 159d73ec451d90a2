/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A unified kernel image taken apart (UAPI group, Unified Kernel Image; Microsoft PE/COFF specification): QEMU cannot boot one together
 * with an initrd, so its kernel, initrd and words are used one by one, and credentials reach it like any other kernel. */

#include <stdbool.h>
#include <stdint.h>

#include "macro.h"

typedef struct UkiRange {
        bool present;
        uint64_t offset, size;
} UkiRange;

typedef struct Uki {
        bool found;    /* the file is a unified kernel image at all */
        bool no_osrel; /* it has .linux, but not the .osrel that the specification demands: not found */
        int fd;        /* owned; -EBADF */
        UkiRange linux_, initrd, cmdline;
        char *dropped; /* owned; names of sections that are not carried over, or NULL */
} Uki;

#define UKI_NONE ((Uki) { .fd = -EBADF })

void uki_done(Uki *u);
/* 0 also for a file that is something else; -EBADMSG with an error message for a damaged one. */
_warn_unused_result_ int uki_open(const char *path, Uki *ret, char **reterr);
