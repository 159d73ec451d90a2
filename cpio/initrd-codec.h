/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For the files of this room only: the compressors that are read through their own libraries instead of libarchive, which
 * joins streams that follow each other (gzip, bzip2) or does not know the format (lzo). The kernel reads one stream at a
 * time and expects an archive member's end at the end of each. */

#include <bzlib.h>
#include <zlib.h>

#include "initrd-decompress.h"

#define ZLIB_LIBRARY_FUNCTIONS(X)                                                                           \
        X(inflate)                                                                                          \
        X(inflateEnd)                                                                                       \
        X(inflateInit2_)
#define BZIP2_LIBRARY_FUNCTIONS(X)                                                                          \
        X(BZ2_bzDecompress)                                                                                 \
        X(BZ2_bzDecompressEnd)                                                                              \
        X(BZ2_bzDecompressInit)
#define LZO_LIBRARY_FUNCTIONS(X) X(lzo1x_decompress_safe)
#define ZSTD_LIBRARY_FUNCTIONS(X)                                                                           \
        X(ZSTD_createDStream)                                                                               \
        X(ZSTD_decompressStream)                                                                            \
        X(ZSTD_freeDStream)                                                                                 \
        X(ZSTD_isError)

/* lzo/lzo1x.h: *n is the room in `to`, then what was written; 0 (LZO_E_OK) or an error. `work` is not used and may be NULL.
 * Declared here, so that building needs no header of a library that is optional. */
int lzo1x_decompress_safe(const uint8_t *from, size_t size, uint8_t *to, size_t *n, void *work);

/* zstd.h, stable since 1.0: ZSTD_DStream, ZSTD_inBuffer, ZSTD_outBuffer. Declared here for the same reason. */
typedef struct ZstdStream ZstdStream;
typedef struct ZstdInput {
        const void *src;
        size_t size, pos;
} ZstdInput;
typedef struct ZstdOutput {
        void *dst;
        size_t size, pos;
} ZstdOutput;
ZstdStream *ZSTD_createDStream(void);
size_t ZSTD_freeDStream(ZstdStream *stream);
size_t ZSTD_decompressStream(ZstdStream *stream, ZstdOutput *output, ZstdInput *input);
unsigned ZSTD_isError(size_t code);

#define LIBRARY_POINTER(name) typeof(name) *name;
typedef struct ZlibLibrary {
        ZLIB_LIBRARY_FUNCTIONS(LIBRARY_POINTER)
} ZlibLibrary;
typedef struct Bzip2Library {
        BZIP2_LIBRARY_FUNCTIONS(LIBRARY_POINTER)
} Bzip2Library;
typedef struct LzoLibrary {
        LZO_LIBRARY_FUNCTIONS(LIBRARY_POINTER)
} LzoLibrary;
typedef struct ZstdLibrary {
        ZSTD_LIBRARY_FUNCTIONS(LIBRARY_POINTER)
} ZstdLibrary;
#undef LIBRARY_POINTER

/* Load the library; 0, or -ENOPKG with an error message that names the package. Valid until cpio_library_unload(). */
_warn_unused_result_ int zlib_library_get(const ZlibLibrary **ret, char **reterr);
_warn_unused_result_ int bzip2_library_get(const Bzip2Library **ret, char **reterr);
_warn_unused_result_ int lzo_library_get(const LzoLibrary **ret, char **reterr);
_warn_unused_result_ int zstd_library_get(const ZstdLibrary **ret, char **reterr);

/* Each decompresses exactly one stream that begins at `offset`; results as initrd_decompress(). */
_warn_unused_result_ int initrd_gunzip(InitrdInput *in, uint64_t offset, initrd_sink_t sink, void *userdata,
                uint64_t *ret_end, char **reterr);
_warn_unused_result_ int initrd_bunzip2(InitrdInput *in, uint64_t offset, initrd_sink_t sink, void *userdata,
                uint64_t *ret_end, char **reterr);
_warn_unused_result_ int initrd_unlzo(InitrdInput *in, uint64_t offset, initrd_sink_t sink, void *userdata,
                uint64_t *ret_end, char **reterr);

/* One stream through a window: what gzip and bzip2 share. */
typedef struct InitrdUnpack {
        InitrdInput *in;
        uint64_t pos; /* in the input: behind what was taken */
        /* Unpacks what stands at *p (*n bytes: updated to what is left) into the window (*n_out: room, updated too). 1 at the end of
         * the stream, 0 if there is more; no input means the end of the file. */
        int (*step)(void *codec, const uint8_t *p, size_t *n, uint8_t *out, size_t *n_out, char **reterr);
        void *codec;
        initrd_sink_t sink;
        void *userdata;
} InitrdUnpack;

/* 0 behind the end of the stream, 1 if the sink had enough, or an error. */
_warn_unused_result_ int initrd_unpack(InitrdUnpack *u, char **reterr);

/* Sentences that all of them share. `r` is -ENODATA (the data ends too early) or the errno of reading. */
int initrd_codec_unreadable(int r, char **reterr);
int initrd_codec_damaged(const char *why, char **reterr);
