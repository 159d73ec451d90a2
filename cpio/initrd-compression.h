/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which compressor wrote a part of an initrd, and where that part ends: what the kernel reads off the first bytes
 * (lib/decompress.c), and the container formats as far as their sizes go. Nothing is decompressed here. */

#include <stdbool.h>
#include <stdint.h>

#include "macro.h"

typedef enum InitrdCompression {
        INITRD_COMPRESSION_NONE,
        INITRD_COMPRESSION_GZIP,
        INITRD_COMPRESSION_BZIP2,
        INITRD_COMPRESSION_LZMA,
        INITRD_COMPRESSION_XZ,
        INITRD_COMPRESSION_LZO,
        INITRD_COMPRESSION_LZ4, /* the legacy format only */
        INITRD_COMPRESSION_ZSTD,
        _INITRD_COMPRESSION_MAX,
        _INITRD_COMPRESSION_INVALID = -22,
} InitrdCompression;

const char *initrd_compression_to_string(InitrdCompression c);
/* By the two bytes that the kernel looks at; _INITRD_COMPRESSION_INVALID for anything else. */
InitrdCompression initrd_compression_from_magic(const uint8_t magic[static 2]);

/* Whether the container says where it ends. */
static inline bool initrd_compression_tells_end(InitrdCompression c) {
        return c == INITRD_COMPRESSION_ZSTD || c == INITRD_COMPRESSION_LZ4 || c == INITRD_COMPRESSION_XZ;
}

typedef struct InitrdInput InitrdInput;

/* Finds where the compressed part that begins at `offset` ends. zstd (one frame, as the kernel reads it), lz4 and xz say so
 * in their containers, and libarchive has to be told: it takes what follows them for a damaged continuation. For
 * the others *ret_end is the end of the input: their readers stop at the right place by themselves. 0, -ENODATA if the input
 * ends first, -EBADMSG if the container is damaged, -ENOTSUP for an xz filter that the kernel does not have, or the errno of
 * reading. */
_warn_unused_result_ int initrd_compression_find_end(
                InitrdCompression c, InitrdInput *in, uint64_t offset, uint64_t *ret_end);
