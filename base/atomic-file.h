/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files that are there whole or not at all. */

#include <stddef.h>
#include <sys/types.h>

#include "macro.h"

typedef enum AtomicFileFlags {
        ATOMIC_FILE_REPLACE =
                        1 << 0, /* an existing file is replaced; without this it is -EEXIST and stays */
        ATOMIC_FILE_EXACT_MODE = 1 << 1, /* the mode is final: the umask does not count */
} AtomicFileFlags;

/* Writes beside the path and moves into place. What is there already and no regular file (a pipe, /dev/stdout) is written to
 * directly, with ATOMIC_FILE_REPLACE. 0 or -errno; nothing is left behind on failure. */
_warn_unused_result_ int file_write_atomic(
                const char *path, const void *p, size_t n, mode_t mode, unsigned flags);
