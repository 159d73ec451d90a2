/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "initrd-compression.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "bytes.h"
#include "initrd-input.h"
#include "overflow.h"

static const struct {
        const char *name;
        uint8_t magic[2]; /* lib/decompress.c */
} compressions[] = {
        [INITRD_COMPRESSION_NONE] = { "none", {} },
        [INITRD_COMPRESSION_GZIP] = { "gzip", { 0x1f, 0x8b } },
        [INITRD_COMPRESSION_BZIP2] = { "bzip2", { 0x42, 0x5a } },
        [INITRD_COMPRESSION_LZMA] = { "lzma", { 0x5d, 0x00 } },
        [INITRD_COMPRESSION_XZ] = { "xz", { 0xfd, 0x37 } },
        [INITRD_COMPRESSION_LZO] = { "lzo", { 0x89, 0x4c } },
        [INITRD_COMPRESSION_LZ4] = { "lz4", { 0x02, 0x21 } },
        [INITRD_COMPRESSION_ZSTD] = { "zstd", { 0x28, 0xb5 } },
};
static_assert(ELEMENTSOF(compressions) == _INITRD_COMPRESSION_MAX, "one row a compression");

const char *initrd_compression_to_string(InitrdCompression c) {
        return c >= 0 && c < _INITRD_COMPRESSION_MAX ? compressions[c].name : NULL;
}

InitrdCompression initrd_compression_from_magic(const uint8_t magic[static 2]) {
        for (int c = INITRD_COMPRESSION_NONE + 1; c < _INITRD_COMPRESSION_MAX; c++)
                if (memcmp(compressions[c].magic, magic, 2) == 0)
                        return (InitrdCompression) c;
        return _INITRD_COMPRESSION_INVALID;
}

/* --- zstd: RFC 8878, 3.1.1 --------------------------------------------------------------------------------------- */

#define ZSTD_MAGIC           0xfd2fb528u
#define ZSTD_BLOCK_TYPE_RLE  1u
#define ZSTD_BLOCK_TYPE_BAD  3u
#define ZSTD_CHECKSUM_SIZE   4u
#define ZSTD_BLOCK_HEAD_SIZE 3u

/* Everything of the frame header that is behind the magic and the descriptor byte. */
static uint64_t zstd_rest_of_header(uint8_t descriptor) {
        static const uint8_t dictionary_sizes[] = { 0, 1, 2, 4 }, content_sizes[] = { 0, 2, 4, 8 };
        bool single_segment = descriptor & 0x20;
        uint8_t content = content_sizes[descriptor >> 6];

        if (single_segment && content == 0)
                content = 1;
        return (single_segment ? 0u : 1u) + dictionary_sizes[descriptor & 3] + content;
}

static int zstd_find_end(InitrdInput *in, uint64_t offset, uint64_t *ret_end) {
        uint8_t head[5], block[ZSTD_BLOCK_HEAD_SIZE];
        uint64_t pos;
        int r;

        r = initrd_input_read(in, offset, head, sizeof(head));
        if (r < 0)
                return r;
        if (le32_read(head) != ZSTD_MAGIC)
                return -EBADMSG;
        pos = offset + sizeof(head) + zstd_rest_of_header(head[4]);

        for (;;) {
                uint32_t v, type, size;

                r = initrd_input_read(in, pos, block, sizeof(block));
                if (r < 0)
                        return r;
                v = (uint32_t) block[0] | (uint32_t) block[1] << 8 | (uint32_t) block[2] << 16;
                type = v >> 1 & 3;
                size = type == ZSTD_BLOCK_TYPE_RLE ? 1 : v >> 3;
                if (type == ZSTD_BLOCK_TYPE_BAD)
                        return -EBADMSG;
                pos += sizeof(block) + size;
                if (v & 1)
                        break;
        }
        if (head[4] & 0x04)
                pos += ZSTD_CHECKSUM_SIZE;
        if (pos > in->size)
                return -ENODATA;
        *ret_end = pos;
        return 0;
}

/* --- lz4, legacy frame: lz4's doc/lz4_Frame_format.md, and what lib/decompress_unlz4.c makes of it ------------------ */

#define LZ4_LEGACY_MAGIC 0x184c2102u
/* The most that a block of 8 MiB, the only size there is, can grow to: LZ4_compressBound(). */
#define LZ4_BLOCK_MAX (8u * 1024u * 1024u + 8u * 1024u * 1024u / 255u + 16u)

/* Blocks of 4 bytes size and data follow the magic, up to a size of zero or the end of all input. A magic in the place of a
 * size begins a further stream that belongs to the same part. */
static int lz4_find_end(InitrdInput *in, uint64_t offset, uint64_t *ret_end) {
        uint64_t pos = offset;
        uint8_t size[4];
        int r;

        r = initrd_input_read(in, pos, size, sizeof(size));
        if (r < 0)
                return r;
        if (le32_read(size) != LZ4_LEGACY_MAGIC)
                return -EBADMSG;

        while (in->size - pos >= sizeof(size)) {
                uint32_t v;

                r = initrd_input_read(in, pos, size, sizeof(size));
                if (r < 0)
                        return r;
                v = le32_read(size);
                if (v == 0)
                        break;
                pos += sizeof(size);
                if (v == LZ4_LEGACY_MAGIC)
                        continue;
                if (v > LZ4_BLOCK_MAX || v > in->size - pos)
                        return -EBADMSG;
                pos += v;
        }
        *ret_end = pos;
        return 0;
}

/* --- xz: the .xz file format, 1.1.0 (stream header 2.1.1, footer 2.1.2, index 4) ----------------------------------- */

#define XZ_HEADER_SIZE 12u
#define XZ_FOOTER_SIZE 12u
/* One record is 2 to 18 bytes and stands for a block; multi-threaded xz makes one of 3 MiB and more: enough for any initrd that
 * fits memory, and little enough to be read for each thing that looks like a footer. */
#define XZ_INDEX_SIZE_MAX ((size_t) 256 * 1024)

static int xz_number(ByteReader *r, uint64_t *ret) {
        uint64_t v = 0;

        for (unsigned i = 0; i < 9; i++) {
                uint8_t byte;
                int k;

                k = byte_reader_u8(r, &byte);
                if (k < 0)
                        return k;
                v |= (uint64_t) (byte & 0x7f) << (7 * i);
                if (!(byte & 0x80)) {
                        *ret = v;
                        return 0;
                }
        }
        return -EBADMSG;
}

#define XZ_FILTER_X86       0x04u
#define XZ_FILTER_LZMA2     0x21u
#define XZ_BLOCK_HEADER_MAX 1024u

/* A block header (3.1): its size in words less one, flags with the number of filters and whether sizes follow, the filters. Every
 * kernel has LZMA2, and on x86 the filter for x86 code (Documentation/staging/xz.rst); no kernel has delta. */
static int xz_check_filters(InitrdInput *in, uint64_t offset) {
        uint8_t header[XZ_BLOCK_HEADER_MAX], size, flags;
        ByteReader reader;
        int r;

        r = initrd_input_read(in, offset, &size, 1);
        if (r < 0)
                return r;
        r = initrd_input_read(in, offset, header, ((size_t) size + 1) * 4);
        if (r < 0)
                return r;
        reader = byte_reader(header + 1, ((size_t) size + 1) * 4 - 1);
        if (byte_reader_u8(&reader, &flags) < 0)
                return -EBADMSG;
        for (unsigned i = 6; i < 8; i++) {
                uint64_t ignored;

                if (flags >> i & 1 && xz_number(&reader, &ignored) < 0)
                        return -EBADMSG;
        }
        for (unsigned i = 0; i <= (flags & 3u); i++) {
                uint64_t id, properties;
                const uint8_t *data;

                if (xz_number(&reader, &id) < 0 || xz_number(&reader, &properties) < 0 ||
                                properties > SIZE_MAX ||
                                byte_reader_take(&reader, (size_t) properties, &data) < 0)
                        return -EBADMSG;
                if (id != XZ_FILTER_LZMA2 && id != XZ_FILTER_X86)
                        return -ENOTSUP;
        }
        return 0;
}

/* The size of all blocks that the index lists. With `in`, the filters of the blocks, which begin at `first`, are looked at. */
static int xz_index_sum(const uint8_t *index, size_t n, InitrdInput *in, uint64_t first, uint64_t *ret) {
        ByteReader reader = byte_reader(index, n);
        uint64_t count, sum = 0;
        uint8_t indicator;

        if (byte_reader_u8(&reader, &indicator) < 0 || indicator != 0 || xz_number(&reader, &count) < 0)
                return -EBADMSG;
        for (uint64_t i = 0; i < count; i++) {
                uint64_t unpadded, uncompressed;
                int r = in ? xz_check_filters(in, first + sum) : 0;

                if (r < 0)
                        return r;

                if (xz_number(&reader, &unpadded) < 0 || xz_number(&reader, &uncompressed) < 0 ||
                                !align_u64(unpadded, 4, &unpadded) || !add_u64(sum, unpadded, &sum))
                        return -EBADMSG;
        }
        *ret = sum;
        return 0;
}

/* Whether the stream that begins at `offset` ends at `end`. A footer alone proves nothing: initrds hold kernel modules
 * that are xz files themselves, stored as they are. The index has to add up to exactly the bytes in between. */
static int xz_ends_at(InitrdInput *in, uint64_t offset, uint64_t end, const uint8_t *header) {
        _cleanup_free_ uint8_t *index = NULL;
        uint8_t footer[XZ_FOOTER_SIZE];
        uint64_t index_size, sum;
        int r;

        if (end - offset < XZ_HEADER_SIZE + XZ_FOOTER_SIZE)
                return false;
        r = initrd_input_read(in, end - XZ_FOOTER_SIZE, footer, sizeof(footer));
        if (r < 0)
                return r;
        index_size = ((uint64_t) le32_read(footer + 4) + 1) * 4;
        if (memcmp(footer + 8, header + 6, 2) != 0 || index_size > XZ_INDEX_SIZE_MAX ||
                        index_size > end - offset - XZ_HEADER_SIZE - XZ_FOOTER_SIZE)
                return false;

        index = malloc(index_size);
        if (!index)
                return -ENOMEM;
        r = initrd_input_read(in, end - XZ_FOOTER_SIZE - index_size, index, index_size);
        if (r < 0)
                return r;
        if (xz_index_sum(index, index_size, NULL, 0, &sum) < 0 ||
                        sum != end - offset - XZ_HEADER_SIZE - XZ_FOOTER_SIZE - index_size)
                return false;
        r = xz_index_sum(index, index_size, in, offset + XZ_HEADER_SIZE, &sum);
        return r < 0 ? r : true;
}

static int xz_find_end(InitrdInput *in, uint64_t offset, uint64_t *ret_end) {
        uint8_t header[XZ_HEADER_SIZE];
        uint64_t pos = offset + XZ_HEADER_SIZE;
        int r;

        r = initrd_input_read(in, offset, header, sizeof(header));
        if (r < 0)
                return r;

        /* Streams are multiples of 4 long, and the footer's last two bytes are "YZ". */
        while (in->size - pos >= 4) {
                const uint8_t *p;
                size_t n, i = 0;

                r = initrd_input_get(in, pos, &p, &n);
                if (r < 0)
                        return r;
                for (; i + 4 <= n; i += 4)
                        if (p[i + 2] == 'Y' && p[i + 3] == 'Z')
                                break;
                if (i + 4 > n) {
                        /* None in this window, or a word that only the next one holds whole. */
                        pos += i;
                        if (i == 0)
                                initrd_input_forget(in);
                        continue;
                }
                pos += i + 4;
                r = xz_ends_at(in, offset, pos, header);
                if (r < 0)
                        return r;
                if (r > 0) {
                        *ret_end = pos;
                        return 0;
                }
        }
        return -ENODATA;
}

int initrd_compression_find_end(InitrdCompression c, InitrdInput *in, uint64_t offset, uint64_t *ret_end) {
        switch (c) {
        case INITRD_COMPRESSION_ZSTD:
                return zstd_find_end(in, offset, ret_end);
        case INITRD_COMPRESSION_LZ4:
                return lz4_find_end(in, offset, ret_end);
        case INITRD_COMPRESSION_XZ:
                return xz_find_end(in, offset, ret_end);
        default:
                *ret_end = in->size;
                return 0;
        }
}
