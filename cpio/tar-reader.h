/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A tar archive, or the bytes of a compressed stream (gzip, zstd, or none), read once from its beginning to its end, by libarchive. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"

/* Where the bytes come from. read: *ret_size 0 at the end; *ret is valid until the next call. skip: bytes that were skipped, 0 where
 * that is not possible; NULL. Both: 0 or more, or -errno. */
typedef struct TarSource {
        int (*read)(void *userdata, const uint8_t **ret, size_t *ret_size);
        int64_t (*skip)(void *userdata, int64_t size);
        void *userdata;  /* weak */
        bool compressed; /* an archive may be: gzip or zstd */
} TarSource;

typedef enum TarType {
        TAR_FILE,
        TAR_FOLDER,
        TAR_SYMLINK,
        TAR_HARDLINK,
        TAR_OTHER,
} TarType;

typedef struct TarEntry {
        const char *name, *target; /* valid until the next entry; target: of links */
        TarType type;
        uint64_t size;
} TarEntry;

typedef struct TarReader TarReader;

/* Loads what reading needs, for somebody who will not be able to open files later. -ENOPKG with an error message. */
_warn_unused_result_ int tar_prepare(char **reterr);
TarReader *tar_free(TarReader *t); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(TarReader *, tar_free);
#define _cleanup_tar_ _cleanup_(tar_freep)

/* -EBADMSG with an error message for what is not a tar archive or damaged; the source's own failures as they are. */
_warn_unused_result_ int tar_open(const TarSource *source, TarReader **ret, char **reterr);
/* 1 with the next entry; 0 at the end. */
_warn_unused_result_ int tar_next(TarReader *t, TarEntry *ret, char **reterr);
/* The entry's bytes, or those of the stream: *ret_size 0 at the end. */
_warn_unused_result_ int tar_read(TarReader *t, const uint8_t **ret, size_t *ret_size, char **reterr);

/* Not an archive, but what is in a compressed stream; bytes that are not compressed pass as they are. tar_read() reads it. */
_warn_unused_result_ int tar_open_stream(const TarSource *source, TarReader **ret, char **reterr);
