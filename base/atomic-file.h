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

typedef struct AtomicFile {
        const char *path; /* weak */
        const void *data; /* weak */
        size_t size;      /* bytes */
        mode_t mode;
} AtomicFile;

/* Writes beside the paths and moves into place once all of them are written, so that files that belong together are all old or all new. What is
 * there already and no regular file (a pipe, /dev/stdout) is written to directly, with ATOMIC_FILE_REPLACE. 0 or -errno, and
 * then *ret_failed (may be NULL) is the index of the file that failed; nothing is left behind, but where a move fails after another
 * file was replaced. */
_warn_unused_result_ int files_write_atomic(
                const AtomicFile *files, size_t n, unsigned flags, size_t *ret_failed);

/* One file. */
_warn_unused_result_ int file_write_atomic(
                const char *path, const void *p, size_t n, mode_t mode, unsigned flags);
