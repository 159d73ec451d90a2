/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "initrd-padding.h"

#include <errno.h>

#include "bytes.h"
#include "cpio-newc.h"
#include "initrd-input.h"
#include "overflow.h"

#define INITRD_ALIGNMENT 4u

#define LZ4_LEGACY_MAGIC 0x184c2102u
#define LZ4_END_SIZE     4u /* a block size of zero ends the stream for the kernel */

static bool begins_lz4(InitrdInput *in, uint64_t pos) {
        uint8_t magic[4];

        return initrd_input_read(in, pos, magic, sizeof(magic)) >= 0 && le32_read(magic) == LZ4_LEGACY_MAGIC;
}

/* Passes one uncompressed archive over. */
static int skip_archive(InitrdInput *in, uint64_t *pos) {
        _cleanup_free_ NewcParser *parser = calloc(1, sizeof(*parser));
        int r = NEWC_MORE;

        if (!parser)
                return -ENOMEM;
        parser->stop_at_trailer = true;
        while (r == NEWC_MORE && *pos < in->size) {
                uint64_t skip = MIN(newc_parser_skippable(parser), in->size - *pos);
                const uint8_t *p;
                size_t n, used;

                if (skip > 0) {
                        r = newc_parser_skip(parser, skip);
                        *pos += skip;
                        continue;
                }
                r = initrd_input_get(in, *pos, &p, &n);
                if (r >= 0)
                        r = newc_parser_feed(parser, p, n, &used, NULL);
                if (r >= 0)
                        *pos += used;
        }
        return r;
}

/* 1 and the offset of what is not zero, or 0 at the end. */
static int skip_zeros(InitrdInput *in, uint64_t *pos) {
        for (;;) {
                const uint8_t *p;
                size_t n, i = 0;
                int r = initrd_input_get(in, *pos, &p, &n);

                if (r < 0 || n == 0)
                        return r;
                while (i < n && p[i] == 0)
                        i++;
                *pos += i;
                if (i < n)
                        return 1;
        }
}

/* Whether the last part is in lz4's legacy format without an end. */
static bool ends_in_lz4(InitrdInput *in) {
        uint64_t pos = 0, end;
        uint8_t magic[2];

        while (skip_zeros(in, &pos) > 0) {
                InitrdCompression c;

                if (initrd_input_read(in, pos, magic, sizeof(magic)) < 0)
                        return false;
                if (magic[0] == '0' && pos % INITRD_ALIGNMENT == 0) {
                        if (skip_archive(in, &pos) < 0)
                                return false;
                        continue;
                }
                c = initrd_compression_from_magic(magic);
                if (c < 0 || !initrd_compression_tells_end(c) ||
                                initrd_compression_find_end(c, in, pos, &end) < 0)
                        return false;
                if (c == INITRD_COMPRESSION_LZ4 && in->size - end < LZ4_END_SIZE)
                        return true;
                pos = end;
        }
        return false;
}

bool initrd_needs_lz4_end(int fd, uint64_t offset, uint64_t size) {
        _cleanup_(initrd_input_done) InitrdInput in = {};

        if (initrd_input_open(&in, fd, offset, size) < 0)
                return false;
        return begins_lz4(&in, 0) || ends_in_lz4(&in);
}

int initrd_next_offset(uint64_t end, bool behind_lz4_legacy, uint64_t *ret) {
        uint64_t offset;

        if (!add_u64(end, behind_lz4_legacy ? LZ4_END_SIZE : 0, &offset) ||
                        !align_u64(offset, INITRD_ALIGNMENT, &offset))
                return -EFBIG;
        *ret = offset;
        return 0;
}
