/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One range of a file, copied into a memory file in pieces between which it can be stopped. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "macro.h"

typedef struct CopyJob {
        const char *name; /* borrowed; for messages: "initrd 'FILE'" */
        int from;         /* borrowed; its position does not move */
        uint64_t offset, size;
        bool whole; /* the file ends where the range does */
        int to;     /* borrowed; its position moves: one job at a time */
        uint64_t at;
} CopyJob;

/* 0; -ESTALE if the file became shorter, or grew beyond a whole one; -ECANCELED once *stop is set (NULL: never); each but the
 * last with an error message. */
_warn_unused_result_ int copy_run(const CopyJob *job, const atomic_bool *stop, char **reterr);
