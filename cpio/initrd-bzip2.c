/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One bzip2 stream, as lib/decompress_bunzip2.c of the kernel reads it. */

#include <errno.h>

#include "initrd-codec.h"

typedef struct Bunzip2 {
        const Bzip2Library *library;
        bz_stream z;
} Bunzip2;

static int bunzip2_step(
                void *codec, const uint8_t *p, size_t *n, uint8_t *out, size_t *n_out, char **reterr) {
        Bunzip2 *b = codec;
        size_t given = *n;
        int r;

        b->z.next_in = (char *) p;
        b->z.avail_in = (unsigned) *n;
        b->z.next_out = (char *) out;
        b->z.avail_out = (unsigned) *n_out;
        r = b->library->BZ2_bzDecompress(&b->z);
        *n = b->z.avail_in;
        *n_out = b->z.avail_out;
        switch (r) {
        case BZ_STREAM_END:
                return 1;
        case BZ_OK:
                /* Nothing left to read and nothing written: it waits for more. */
                return given == 0 && *n_out > 0 ? initrd_codec_unreadable(-ENODATA, reterr) : 0;
        case BZ_MEM_ERROR:
                return -ENOMEM;
        default:
                return initrd_codec_damaged("a block is not what bzip2 writes", reterr);
        }
}

int initrd_bunzip2(InitrdInput *in, uint64_t offset, initrd_sink_t sink, void *userdata, uint64_t *ret_end,
                char **reterr) {
        Bunzip2 b = {};
        InitrdUnpack u = { in, offset, bunzip2_step, &b, sink, userdata };
        int r;

        r = bzip2_library_get(&b.library, reterr);
        if (r < 0)
                return r;
        if (b.library->BZ2_bzDecompressInit(&b.z, /* verbosity= */ 0, /* small= */ 0) != BZ_OK)
                return -ENOMEM;
        r = initrd_unpack(&u, reterr);
        (void) b.library->BZ2_bzDecompressEnd(&b.z);
        if (r >= 0)
                *ret_end = u.pos;
        return r;
}
