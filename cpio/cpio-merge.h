/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Several initrds and the credentials archive as the one initrd that the firmware measures and the kernel unpacks. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "credential.h"
#include "macro.h"

typedef struct InitrdSource {
        const char *path; /* borrowed: for messages only */
        int fd;           /* borrowed: its position does not move */
        uint64_t offset;  /* where it begins in its file */
        uint64_t size; /* as found when it was opened: a file that is shorter while it is read is an error */
        bool part;     /* the file may go on behind it */
} InitrdSource;

#define INITRD_SOURCE_CREDENTIALS SIZE_MAX

typedef struct InitrdSegment {
        uint64_t offset, length; /* in the result; the bytes between two segments are zero */
        size_t source;           /* index into the sources, or INITRD_SOURCE_CREDENTIALS */
} InitrdSegment;

/* What the firmware measures and the kernel unpacks. */
typedef struct InitrdMerged {
        int memfd; /* owned; -EBADF */
        InitrdSegment *segments; /* owned: one per source (also for an empty file), and one for the credentials if there are any */
        size_t n_segments;
} InitrdMerged;

void initrd_merged_done(InitrdMerged *m);

/* Where everything goes: the sources in their order, each from a 4-byte boundary on (the kernel takes an uncompressed cpio only
 * there), and the archive of the credentials after them, likewise aligned: what systemd-vmspawn 262.1 builds in a file on
 * disk. One difference: behind a source that ends in lz4's legacy format at least 4 zero bytes follow, because the kernel's lz4
 * decompressor takes anything else as the size of a next block and loses all that follows.
 *
 * The memfd has its final size, and the archive is in it; each source is still to be copied to its segment's offset. No byte of
 * a credential touches a disk, unless the host swaps. Either of sources and credentials may be empty (credentials also NULL), both
 * is -ENODATA. */
_warn_unused_result_ int initrd_layout(const InitrdSource *sources, size_t n,
                const CredentialSet *credentials, InitrdMerged *ret, char **reterr);

/* The same with all sources copied, and sealed. */
_warn_unused_result_ int initrd_merge(const InitrdSource *sources, size_t n,
                const CredentialSet *credentials, InitrdMerged *ret, char **reterr);
