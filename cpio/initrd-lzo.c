/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The file format of lzop, as lib/decompress_unlzo.c of the kernel reads it:
 *
 *   9 bytes magic, u16 version, u16 library version, u16 version needed, u8 method, u8 level (since version 0x0940), u32 flags,
 *   u32 filter (if the flags say so), u32 mode, u32 time, u32 time (since version 0x0940), u8 length, name, u32 checksum;
 *   blocks: u32 size of the content (0: the end), u32 size of the data, u32 checksum, data. All numbers are big-endian.
 *
 * The kernel expects exactly one checksum in each block: lzop -F writes none, lzop -C two. */

#include <string.h>

#include "bytes.h"
#include "error.h"
#include "initrd-codec.h"

#define MAGIC           "\x89LZO\0\r\n\x1a\n"
#define MAGIC_SIZE      9u
#define VERSION_LEVEL   0x0940u /* from here on there is a level, and a second half of the time */
#define BLOCK_MAX       (256u * 1024u)
#define HEADER_FIXED    (MAGIC_SIZE + 7u)
#define CHECKSUM_SIZE   4u
#define BLOCK_HEAD_SIZE 12u

static uint16_t be16(const uint8_t *p) {
        return __builtin_bswap16(le16_read(p));
}

static uint32_t be32(const uint8_t *p) {
        return __builtin_bswap32(le32_read(p));
}

enum {
        FLAG_CONTENT_ADLER32 = 1 << 0,
        FLAG_DATA_ADLER32 = 1 << 1,
        FLAG_CONTENT_CRC32 = 1 << 8,
        FLAG_DATA_CRC32 = 1 << 9,
        FLAG_FILTER = 1 << 11,
};

/* One of these stands in front of each block; those about the data only where the block is compressed. */
static int check_flags(uint32_t flags, char **reterr) {
        bool content = flags & (FLAG_CONTENT_ADLER32 | FLAG_CONTENT_CRC32);
        bool data = flags & (FLAG_DATA_ADLER32 | FLAG_DATA_CRC32);

        if (content && !data)
                return 0;
        return error_set(reterr, -EBADMSG,
                        "the lzop file has %s per block, but the kernel expects one; compress the initrd with 'lzop', without -CC and -F",
                        content ? "two checksums" : "no checksum of the content");
}

static int skip_header(InitrdInput *in, uint64_t *pos, char **reterr) {
        uint8_t head[HEADER_FIXED], flags[4], length;
        uint64_t p = *pos;
        bool has_level;
        int r;

        r = initrd_input_read(in, p, head, sizeof(head));
        if (r < 0)
                return initrd_codec_unreadable(r, reterr);
        if (memcmp(head, MAGIC, MAGIC_SIZE) != 0)
                return initrd_codec_damaged("the header is not lzop's", reterr);
        has_level = be16(head + MAGIC_SIZE) >= VERSION_LEVEL;
        p += HEADER_FIXED + has_level;

        r = initrd_input_read(in, p, flags, sizeof(flags));
        if (r < 0)
                return initrd_codec_unreadable(r, reterr);
        r = check_flags(be32(flags), reterr);
        if (r < 0)
                return r;
        p += sizeof(flags) + (be32(flags) & FLAG_FILTER ? 4u : 0u) + 8u + (has_level ? 4u : 0u);

        r = initrd_input_read(in, p, &length, sizeof(length));
        if (r < 0)
                return initrd_codec_unreadable(r, reterr);
        *pos = p + sizeof(length) + length + CHECKSUM_SIZE;
        return 0;
}

/* 0 and the content in `out`, or 1 at the end. */
static int unpack_block(const LzoLibrary *l, InitrdInput *in, uint64_t *pos, uint8_t *data, uint8_t *out,
                size_t *ret_n, char **reterr) {
        uint8_t head[BLOCK_HEAD_SIZE];
        uint32_t content, size;
        size_t n;
        int r;

        r = initrd_input_read(in, *pos, head, 4);
        if (r < 0)
                return initrd_codec_unreadable(r, reterr);
        content = be32(head);
        if (content == 0) {
                *pos += 4;
                return 1;
        }
        r = initrd_input_read(in, *pos, head, sizeof(head));
        if (r < 0)
                return initrd_codec_unreadable(r, reterr);
        size = be32(head + 4);
        if (content > BLOCK_MAX || size == 0 || size > content)
                return initrd_codec_damaged("a block has an impossible size", reterr);
        r = initrd_input_read(in, *pos + sizeof(head), data, size);
        if (r < 0)
                return initrd_codec_unreadable(r, reterr);

        n = content;
        if (size == content)
                memcpy(out, data, size);
        else if (l->lzo1x_decompress_safe(data, size, out, &n, NULL) != 0 || n != content)
                return initrd_codec_damaged("a block cannot be decompressed", reterr);
        *pos += sizeof(head) + size;
        *ret_n = n;
        return 0;
}

int initrd_unlzo(InitrdInput *in, uint64_t offset, initrd_sink_t sink, void *userdata, uint64_t *ret_end,
                char **reterr) {
        _cleanup_free_ uint8_t *buffers = malloc(2 * (size_t) BLOCK_MAX);
        const LzoLibrary *l;
        uint64_t pos = offset;
        int r;

        if (!buffers)
                return -ENOMEM;
        r = lzo_library_get(&l, reterr);
        if (r < 0)
                return r;
        r = skip_header(in, &pos, reterr);
        if (r < 0)
                return r;
        for (;;) {
                size_t n;

                r = unpack_block(l, in, &pos, buffers, buffers + BLOCK_MAX, &n, reterr);
                if (r < 0)
                        return r;
                if (r > 0)
                        break;
                r = sink(buffers + BLOCK_MAX, n, userdata);
                if (r < 0)
                        return r;
                if (r > 0) {
                        *ret_end = pos;
                        return 1;
                }
        }
        *ret_end = pos;
        return 0;
}
