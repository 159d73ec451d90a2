/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "initrd-decompress.h"

#include <string.h>

#include "bytes.h"
#include "cpio-archive.h"
#include "error.h"
#include "initrd-codec.h"

#define LZMA_HEADER_SIZE  13u /* properties, u32 dictionary, u64 size of the content */
#define LZMA_SIZE_OFFSET  5u
#define LZMA_SIZE_UNKNOWN UINT64_MAX

typedef struct Decompressor {
        const ArchiveLibrary *library;
        struct archive *archive; /* owned */
        InitrdInput *in;
        uint64_t start, end; /* what libarchive gets to see */
        uint64_t position;   /* what it has been given so far */
        int input_error;     /* of reading, which libarchive would hide */
        InitrdCompression compression;
        uint8_t head[LZMA_HEADER_SIZE];
        bool replace_head; /* libarchive gets `head` instead of the first bytes */
        char **reterr;
} Decompressor;

static void decompressor_done(Decompressor *d) {
        if (d->archive)
                (void) d->library->archive_read_free(d->archive);
}

static la_ssize_t give(_unused_ struct archive *archive, void *userdata, const void **ret) {
        Decompressor *d = userdata;
        const uint8_t *p;
        size_t n;
        int r;

        if (d->replace_head && d->position == d->start) {
                d->position += sizeof(d->head);
                *ret = d->head;
                return sizeof(d->head);
        }
        r = initrd_input_get(d->in, d->position, &p, &n);
        if (r < 0) {
                d->input_error = r;
                return -1;
        }
        n = (size_t) MIN((uint64_t) n, d->end - d->position);
        d->position += n;
        *ret = p;
        return (la_ssize_t) n;
}

static int unsupported(const Decompressor *d) {
        return error_set(d->reterr, -EOPNOTSUPP,
                        "this libarchive cannot read %s: compress the initrd with zstd, xz or gzip",
                        initrd_compression_to_string(d->compression));
}

static int damaged(const Decompressor *d) {
        const char *why = d->library->archive_error_string(d->archive);

        if (d->input_error < 0)
                return initrd_codec_unreadable(d->input_error, d->reterr);
        return initrd_codec_damaged(why ?: "no reason given", d->reterr);
}

static int add_filter(Decompressor *d) {
        const ArchiveLibrary *l = d->library;
        int (*const filters[_INITRD_COMPRESSION_MAX])(struct archive *) = {
                [INITRD_COMPRESSION_LZMA] = l->archive_read_support_filter_lzma,
                [INITRD_COMPRESSION_XZ] = l->archive_read_support_filter_xz,
                [INITRD_COMPRESSION_LZ4] = l->archive_read_support_filter_lz4,
                [INITRD_COMPRESSION_ZSTD] = l->archive_read_support_filter_zstd,
        };

        /* A warning means that libarchive would start an external program, which is out of the question. */
        if (!filters[d->compression] || filters[d->compression](d->archive) != ARCHIVE_OK)
                return unsupported(d);
        return 0;
}

/* 0, or 1 if there is not one byte in it. */
static int open_stream(Decompressor *d) {
        const ArchiveLibrary *l = d->library;
        struct archive_entry *entry;
        int r;

        d->archive = l->archive_read_new();
        if (!d->archive)
                return -ENOMEM;
        r = add_filter(d);
        if (r < 0)
                return r;
        if (l->archive_read_support_format_raw(d->archive) != ARCHIVE_OK ||
                        l->archive_read_support_format_empty(d->archive) != ARCHIVE_OK ||
                        l->archive_read_open(d->archive, d, /* opener= */ NULL, give, /* closer= */ NULL) !=
                                        ARCHIVE_OK)
                return damaged(d);

        r = l->archive_read_next_header(d->archive, &entry);
        if (r != ARCHIVE_OK && r != ARCHIVE_EOF)
                return damaged(d);
        /* The filter and the source. Fewer: the filter did not know the data; more: it is compressed twice. */
        if (l->archive_filter_count(d->archive) != 2)
                return error_set(d->reterr, -EBADMSG,
                                "the data begins like %s, but is not valid, or is compressed twice",
                                initrd_compression_to_string(d->compression));
        return r == ARCHIVE_EOF;
}

static int pump(Decompressor *d, initrd_sink_t sink, void *userdata) {
        for (;;) {
                const void *data;
                la_int64_t offset;
                size_t n;
                int r;

                r = d->library->archive_read_data_block(d->archive, &data, &n, &offset);
                if (r == ARCHIVE_EOF)
                        return 0;
                if (r != ARCHIVE_OK)
                        return damaged(d);
                r = n > 0 ? sink(data, n, userdata) : 0;
                if (r != 0)
                        return r < 0 ? r : 1;
        }
}

static int find_end(const Decompressor *d, uint64_t *ret) {
        int r = initrd_compression_find_end(d->compression, d->in, d->start, ret);

        if (r == -EBADMSG && d->compression == INITRD_COMPRESSION_LZ4)
                return error_set(d->reterr, r,
                                "a block is damaged, or fewer than 4 zero bytes follow the last one: "
                                "the kernel reads the following bytes as one more block");
        if (r == -EBADMSG)
                return error_set(d->reterr, r, "the compressed data is damaged");
        if (r == -ENOTSUP)
                return error_set(d->reterr, -EBADMSG,
                                "the xz data uses a filter that the kernel does not read; compress the initrd with 'xz --check=crc32'");
        if (r == -ENODATA)
                return error_set(d->reterr, -EBADMSG,
                                "the compressed data is damaged or truncated: its end is missing");
        return r < 0 ? initrd_codec_unreadable(r, d->reterr) : 0;
}

static int count(_unused_ const uint8_t *data, size_t n, void *userdata) {
        *(uint64_t *) userdata += n;
        return 0;
}

int initrd_check_lzma(InitrdInput *in, uint64_t offset, char **reterr) {
        _cleanup_(decompressor_done) Decompressor d = {
                .in = in,
                .start = offset,
                .end = in->size,
                .position = offset,
                .compression = INITRD_COMPRESSION_LZMA,
                .replace_head = true,
        };
        uint64_t size, found = 0;
        int r;

        r = initrd_input_read(in, offset, d.head, sizeof(d.head));
        if (r < 0)
                return initrd_codec_unreadable(r, reterr);
        size = le64_read(d.head + LZMA_SIZE_OFFSET);
        if (size == LZMA_SIZE_UNKNOWN)
                return 0;
        le64_write(d.head + LZMA_SIZE_OFFSET, LZMA_SIZE_UNKNOWN);
        r = archive_library_get(&d.library, reterr);
        if (r < 0)
                return r;
        /* Without the size only a stream with a marker unpacks. */
        if (open_stream(&d) != 0 || pump(&d, count, &found) != 0 || found != size)
                return 0;
        return error_set(reterr, -EBADMSG,
                        "the lzma header has the size, and a marker ends the data as well, which the kernel reads as another archive; "
                        "compress the initrd with 'xz --format=lzma'");
}

static int unpack_by_libarchive(InitrdInput *in, uint64_t offset, InitrdCompression c, initrd_sink_t sink,
                void *userdata, uint64_t *ret_end, char **reterr) {
        _cleanup_(decompressor_done) Decompressor d = {
                .in = in,
                .start = offset,
                .position = offset,
                .compression = c,
                .reterr = reterr,
        };
        la_int64_t taken;
        int r;

        r = archive_library_get(&d.library, reterr);
        if (r < 0)
                return r;
        r = find_end(&d, &d.end);
        if (r < 0)
                return r;
        r = open_stream(&d);
        if (r < 0)
                return r;
        if (r == 0) {
                r = pump(&d, sink, userdata);
                if (r > 0)
                        *ret_end = d.end;
                if (r != 0)
                        return r;
        }

        /* The last filter is the source: how much was taken of it, not how much it gave. */
        taken = d.library->archive_filter_bytes(d.archive, -1);
        if (taken <= 0 || (uint64_t) taken > d.end - offset)
                return damaged(&d);
        *ret_end = offset + (uint64_t) taken;
        return 0;
}

int initrd_decompress(InitrdInput *in, uint64_t offset, InitrdCompression c, initrd_sink_t sink,
                void *userdata, uint64_t *ret_end, char **reterr) {
        switch (c) {
        case INITRD_COMPRESSION_GZIP:
                return initrd_gunzip(in, offset, sink, userdata, ret_end, reterr);
        case INITRD_COMPRESSION_BZIP2:
                return initrd_bunzip2(in, offset, sink, userdata, ret_end, reterr);
        case INITRD_COMPRESSION_LZO:
                return initrd_unlzo(in, offset, sink, userdata, ret_end, reterr);
        default:
                return unpack_by_libarchive(in, offset, c, sink, userdata, ret_end, reterr);
        }
}
