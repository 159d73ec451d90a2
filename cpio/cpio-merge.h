/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Several initrds and the credentials archive as the one initrd that the firmware measures and the kernel unpacks. */

#include <stddef.h>
#include <stdint.h>

#include "credential.h"
#include "macro.h"

typedef struct InitrdSource {
        const char *path; /* borrowed: for messages only */
        int fd;           /* borrowed: read from offset 0, its position does not move */
        uint64_t size;    /* as found when it was opened: another size while it is read is an error */
} InitrdSource;

#define INITRD_SOURCE_CREDENTIALS SIZE_MAX

typedef struct InitrdSegment {
        uint64_t offset, length; /* in the result; the bytes between two segments are zero */
        size_t source;           /* index into the sources, or INITRD_SOURCE_CREDENTIALS */
} InitrdSegment;

/* Copies the sources in their order, each from a 4-byte boundary on (the kernel takes an uncompressed cpio only
 * there), and packs the credentials behind them, likewise aligned: what systemd-vmspawn 262.1 builds in a file on
 * disk. One difference: behind a source in lz4's legacy format at least 4 zero bytes follow, because the kernel's lz4
 * decompressor takes anything else as the size of a next block and loses all that follows.
 *
 * *ret_memfd is sealed: what was checked and measured is what QEMU reads. No byte of a credential touches a disk, unless
 * the host swaps. Either of sources and credentials may be empty (credentials also NULL), both is -ENODATA.
 * *ret_segments is an owned array, one item a source (also for an empty file) and one for the credentials if there are
 * any. libarchive is loaded, while the sources are copied, only if there are credentials; the caller unloads it. */
_warn_unused_result_ int initrd_merge(const InitrdSource *sources, size_t n,
                const CredentialSet *credentials, int *ret_memfd, InitrdSegment **ret_segments,
                size_t *ret_n, char **reterr);
