/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "unpack.h"

#include <string.h>

#include "error.h"
#include "initrd-codec.h"

int unpack_prepare(UnpackMethod method, char **reterr) {
        const ZstdLibrary *zstd;
        const ZlibLibrary *zlib;

        return method == UNPACK_ZSTD ? zstd_library_get(&zstd, reterr) : zlib_library_get(&zlib, reterr);
}

static int damaged(const char *what, char **reterr) {
        return error_set(reterr, -EBADMSG, "the compressed block is damaged (%s)", what);
}

static int inflate_block(const uint8_t *in, size_t n, uint8_t *out, size_t size, char **reterr) {
        const ZlibLibrary *zlib;
        z_stream z = {};
        int r = zlib_library_get(&zlib, reterr);

        if (r < 0)
                return r;
        z.next_in = (uint8_t *) in;
        z.avail_in = (unsigned) n;
        z.next_out = out;
        z.avail_out = (unsigned) size;
        /* Negative: raw deflate, without a header. */
        if (zlib->inflateInit2_(&z, -MAX_WBITS, ZLIB_VERSION, (int) sizeof(z)) != Z_OK)
                return -ENOMEM;
        r = zlib->inflate(&z, Z_FINISH);
        (void) zlib->inflateEnd(&z);
        if (r == Z_MEM_ERROR)
                return -ENOMEM;
        /* A stream that would go on has filled the block all the same. */
        if (z.avail_out > 0 || (r != Z_STREAM_END && r != Z_BUF_ERROR))
                return damaged("deflate", reterr);
        return 0;
}

static int zstd_block(const uint8_t *in, size_t n, uint8_t *out, size_t size, char **reterr) {
        ZstdInput input = { in, n, 0 };
        ZstdOutput output = { out, size, 0 };
        const ZstdLibrary *zstd;
        ZstdStream *stream;
        int r = zstd_library_get(&zstd, reterr);

        if (r < 0)
                return r;
        stream = zstd->ZSTD_createDStream();
        if (!stream)
                return -ENOMEM;
        while (output.pos < output.size) {
                size_t before_in = input.pos, before_out = output.pos;
                size_t k = zstd->ZSTD_decompressStream(stream, &output, &input);

                if (zstd->ZSTD_isError(k) || (input.pos == before_in && output.pos == before_out)) {
                        r = damaged("zstd", reterr);
                        break;
                }
        }
        (void) zstd->ZSTD_freeDStream(stream);
        return r;
}

int unpack_block(
                UnpackMethod method, const uint8_t *in, size_t n, uint8_t *out, size_t size, char **reterr) {
        if (n > UINT32_MAX || size > UINT32_MAX)
                return -E2BIG;
        return method == UNPACK_ZSTD ? zstd_block(in, n, out, size, reterr)
                                     : inflate_block(in, n, out, size, reterr);
}
