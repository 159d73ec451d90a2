/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* gzip (RFC 1952) as lib/decompress_inflate.c of the kernel reads it: ten bytes of header, a file name, one deflate stream, and
 * eight bytes that it passes over. Other optional header fields it would take for compressed data. */

#include <string.h>

#include "error.h"
#include "initrd-codec.h"

#define HEADER_SIZE    10u
#define TRAILER_SIZE   8u
#define METHOD_DEFLATE 8

enum {
        FLAG_HEADER_CRC = 1 << 1,
        FLAG_EXTRA = 1 << 2,
        FLAG_NAME = 1 << 3,
        FLAG_COMMENT = 1 << 4,
};

static int skip_name(InitrdInput *in, uint64_t *pos, char **reterr) {
        for (;;) {
                const uint8_t *p, *end;
                size_t n;
                int r;

                r = initrd_input_get(in, *pos, &p, &n);
                if (r >= 0 && n == 0)
                        r = -ENODATA;
                if (r < 0)
                        return initrd_codec_unreadable(r, reterr);
                end = memchr(p, 0, n);
                *pos += end ? (size_t) (end - p) + 1 : n;
                if (end)
                        return 0;
        }
}

static int skip_header(InitrdInput *in, uint64_t *pos, char **reterr) {
        uint8_t head[HEADER_SIZE];
        int r;

        r = initrd_input_read(in, *pos, head, sizeof(head));
        if (r < 0)
                return initrd_codec_unreadable(r, reterr);
        if (head[2] != METHOD_DEFLATE)
                return initrd_codec_damaged("the compression method is not deflate", reterr);
        if (head[3] & (FLAG_HEADER_CRC | FLAG_EXTRA | FLAG_COMMENT))
                return error_set(reterr, -EBADMSG,
                                "the gzip header has %s, which the kernel reads as compressed data; compress the initrd with 'gzip -n'",
                                head[3] & FLAG_EXTRA ? "an extra field (bgzip writes one)"
                                                : head[3] & FLAG_COMMENT ? "a comment"
                                                                         : "a checksum");
        *pos += HEADER_SIZE;
        return head[3] & FLAG_NAME ? skip_name(in, pos, reterr) : 0;
}

typedef struct Gunzip {
        const ZlibLibrary *library;
        z_stream z;
} Gunzip;

static int gunzip_step(
                void *codec, const uint8_t *p, size_t *n, uint8_t *out, size_t *n_out, char **reterr) {
        Gunzip *g = codec;
        size_t given = *n;
        int r;

        g->z.next_in = (uint8_t *) p;
        g->z.avail_in = (unsigned) *n;
        g->z.next_out = out;
        g->z.avail_out = (unsigned) *n_out;
        r = g->library->inflate(&g->z, Z_NO_FLUSH);
        *n = g->z.avail_in;
        *n_out = g->z.avail_out;
        if (r == Z_STREAM_END)
                return 1;
        if (r == Z_MEM_ERROR)
                return -ENOMEM;
        if (r == Z_BUF_ERROR && given == 0)
                return initrd_codec_unreadable(-ENODATA, reterr);
        return r == Z_OK || r == Z_BUF_ERROR ? 0
                                             : initrd_codec_damaged(g->z.msg ?: "no reason given", reterr);
}

int initrd_gunzip(InitrdInput *in, uint64_t offset, initrd_sink_t sink, void *userdata, uint64_t *ret_end,
                char **reterr) {
        Gunzip g = {};
        InitrdUnpack u = { in, offset, gunzip_step, &g, sink, userdata };
        int r;

        r = zlib_library_get(&g.library, reterr);
        if (r < 0)
                return r;
        r = skip_header(in, &u.pos, reterr);
        if (r < 0)
                return r;
        /* Negative: raw deflate, without a header. */
        if (g.library->inflateInit2_(&g.z, -MAX_WBITS, ZLIB_VERSION, (int) sizeof(g.z)) != Z_OK)
                return -ENOMEM;
        r = initrd_unpack(&u, reterr);
        (void) g.library->inflateEnd(&g.z);
        if (r == 0 && in->size - u.pos < TRAILER_SIZE)
                return initrd_codec_unreadable(-ENODATA, reterr);
        if (r >= 0)
                *ret_end = r == 0 ? u.pos + TRAILER_SIZE : u.pos;
        return r;
}
