/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "initrd-scan.h"

#include <string.h>
#include <sys/stat.h>

#include "cpio-newc.h"
#include "error.h"
#include "initrd-decompress.h"
#include "initrd-scan-internal.h"
#include "strutil.h"

/* Stream flags, the eighth byte of an .xz file: 0 no checksum, 1 CRC32, 4 CRC64 (xz's default), 10 SHA-256. */
#define XZ_CHECK_CRC32 1

void initrd_info_done(InitrdInfo *info) {
        free(info->parts);
        *info = (InitrdInfo) {};
}

static void scanner_done(Scanner *s) {
        initrd_info_done(&s->info);
        initrd_input_done(&s->input);
        strv_free(s->obstacles);
}

/* --- parts ------------------------------------------------------------------------------------------------------- */

static void begin_stream(Scanner *s, bool stop_at_trailer) {
        s->newc = (NewcParser) {
                .callback = initrd_take_member,
                .userdata = s,
                .stop_at_trailer = stop_at_trailer,
        };
}

static int add_content(Scanner *s, uint64_t n) {
        s->part.content += n;
        s->content += n;
        if (s->content > INITRD_CONTENT_MAX)
                return error_set(s->reterr, -E2BIG, "initrd decompresses to more than %llu GiB",
                                INITRD_CONTENT_MAX >> 30);
        return 0;
}

static int foreign_content(const Scanner *s, const uint8_t *data, size_t n) {
        if (s->newc.position == 0 && n >= 2 && initrd_compression_from_magic(data) >= 0)
                return error_set(s->reterr, -EBADMSG, "the initrd is compressed twice (%s inside)",
                                initrd_compression_to_string(initrd_compression_from_magic(data)));
        return error_set(s->reterr, -EBADMSG,
                        "no cpio header at offset %ju, where a member should begin, or not on a multiple of 4",
                        (uintmax_t) s->newc.position);
}

static int take_content(const uint8_t *data, size_t n, void *userdata) {
        Scanner *s = userdata;
        size_t used;
        int r;

        r = add_content(s, n);
        if (r < 0)
                return r;
        r = newc_parser_feed(&s->newc, data, n, &used, s->reterr);
        if (r == NEWC_FOREIGN)
                return foreign_content(s, data + used, n - used);
        if (r < 0)
                return r;
        return r == NEWC_STOPPED;
}

/* 0, or 1 if the callback ended it. */
static int read_compressed(Scanner *s) {
        uint64_t end;
        int r;

        begin_stream(s, /* stop_at_trailer= */ false);
        r = initrd_decompress(
                        &s->input, s->part.offset, s->part.compression, take_content, s, &end, s->reterr);
        if (r == 0)
                r = newc_parser_finish(&s->newc, /* lenient= */ false, s->reterr);
        if (r == 0 && s->part.compression == INITRD_COMPRESSION_LZMA)
                r = initrd_check_lzma(&s->input, s->part.offset, s->reterr);
        if (r < 0)
                return error_prefix(s->reterr, r, "initrd part at %ju (%s)", (uintmax_t) s->part.offset,
                                initrd_compression_to_string(s->part.compression));
        if (r == 0)
                s->part.length = end - s->part.offset;
        return r;
}

/* One archive, up to its trailer, to something that is not a member, or to the end of the input. */
static int read_plain(Scanner *s) {
        uint64_t pos = s->part.offset;
        int r = NEWC_MORE;

        begin_stream(s, /* stop_at_trailer= */ true);
        while (r == NEWC_MORE && pos < s->input.size) {
                uint64_t skip = MIN(newc_parser_skippable(&s->newc), s->input.size - pos);
                const uint8_t *p;
                size_t n, used;

                if (skip > 0) {
                        r = newc_parser_skip(&s->newc, skip);
                        pos += skip;
                        continue;
                }
                r = initrd_input_get(&s->input, pos, &p, &n);
                if (r < 0)
                        return error_set(s->reterr, r, "cannot read the initrd at offset %ju: %s",
                                        (uintmax_t) pos, strerror(-r));
                r = newc_parser_feed(&s->newc, p, n, &used, s->reterr);
                if (r >= 0)
                        pos += used;
        }
        if (r == NEWC_MORE)
                r = newc_parser_finish(&s->newc, /* lenient= */ true, s->reterr);
        if (r < 0)
                return error_prefix(s->reterr, r, "initrd part at %ju (uncompressed)",
                                (uintmax_t) s->part.offset);
        s->part.length = pos - s->part.offset;
        r = r == NEWC_STOPPED;
        return add_content(s, s->part.length) < 0 ? -E2BIG : r;
}

static int add_part(Scanner *s) {
        InitrdPart *parts = reallocarray(s->info.parts, s->info.n_parts + 1, sizeof(*parts));

        if (!parts)
                return -ENOMEM;
        s->info.parts = parts;
        s->info.parts[s->info.n_parts++] = s->part;
        return 0;
}

/* Passes zero bytes over: 1 and the offset of something else, or 0 at the end. */
static int next_part(Scanner *s, uint64_t *pos) {
        for (;;) {
                const uint8_t *p;
                size_t n, i = 0;
                int r;

                r = initrd_input_get(&s->input, *pos, &p, &n);
                if (r < 0)
                        return error_set(s->reterr, r, "cannot read the initrd at offset %ju: %s",
                                        (uintmax_t) *pos, strerror(-r));
                if (n == 0)
                        return 0;
                while (i < n && p[i] == 0)
                        i++;
                *pos += i;
                if (i < n)
                        return 1;
        }
}

/* What the kernel refuses though it looks like something that it reads: its lz4 knows the legacy format only, and its xz
 * decoder no checksum but CRC32 (Documentation/staging/xz.rst). */
static int check_variant(Scanner *s, uint64_t pos, const uint8_t magic[static 8]) {
        if (memcmp(magic, "\x04\x22\x4d\x18", 4) == 0)
                return error_set(s->reterr, -EBADMSG,
                                "initrd part at offset %ju is an lz4 frame: the kernel reads only the legacy format, compress it with 'lz4 -l'",
                                (uintmax_t) pos);
        if (initrd_compression_from_magic(magic) == INITRD_COMPRESSION_XZ && magic[7] > XZ_CHECK_CRC32)
                return error_set(s->reterr, -EBADMSG,
                                "initrd part at offset %ju is compressed by xz with a checksum that the kernel does not know: compress it with 'xz --check=crc32'",
                                (uintmax_t) pos);
        return 0;
}

static int classify(Scanner *s, uint64_t pos) {
        uint8_t magic[8] = {};
        size_t n = (size_t) MIN(sizeof(magic), s->input.size - pos);
        int r;

        s->part = (InitrdPart) { .offset = pos };
        r = initrd_input_read(&s->input, pos, magic, n);
        if (r < 0)
                return error_set(s->reterr, r, "cannot read the initrd at offset %ju: %s", (uintmax_t) pos,
                                strerror(-r));
        if (magic[0] == '0' && pos % NEWC_ALIGNMENT == 0)
                return 0;
        if (magic[0] == '0')
                return error_set(s->reterr, -EBADMSG,
                                "uncompressed cpio at offset %ju of the initrd is not at a multiple of 4: the kernel ignores it and everything after it",
                                (uintmax_t) pos);
        if (s->info.n_parts > 0 && pos % NEWC_ALIGNMENT != 0 &&
                        s->info.parts[s->info.n_parts - 1].compression == INITRD_COMPRESSION_NONE)
                return error_set(s->reterr, -EBADMSG,
                                "the data at offset %ju of the initrd, after an uncompressed cpio, is not at a multiple of 4: "
                                "the kernel ignores it and everything after it; pass both as separate files",
                                (uintmax_t) pos);
        r = check_variant(s, pos, magic);
        if (r < 0)
                return r;
        s->part.compression = initrd_compression_from_magic(magic);
        if (s->part.compression < 0)
                return error_set(s->reterr, -EBADMSG,
                                "the data at offset %ju of the initrd is neither a cpio archive nor in a compression that the kernel supports: "
                                "the kernel ignores it and everything after it",
                                (uintmax_t) pos);
        return 0;
}

static int run(Scanner *s) {
        uint64_t pos = 0;
        int r;

        for (;;) {
                r = next_part(s, &pos);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
                if (s->info.n_parts >= INITRD_PARTS_MAX)
                        return error_set(s->reterr, -E2BIG, "initrd has more than %u parts",
                                        INITRD_PARTS_MAX);
                r = classify(s, pos);
                if (r < 0)
                        return r;
                r = s->part.compression == INITRD_COMPRESSION_NONE ? read_plain(s) : read_compressed(s);
                if (r != 0)
                        return r;
                r = add_part(s);
                if (r < 0)
                        return r;
                pos = s->part.offset + s->part.length;
        }
        return 0;
}

static int scanner_open(Scanner *s, int fd, uint64_t offset, uint64_t length) {
        int r = initrd_input_open(&s->input, fd, offset, length);

        return r < 0 ? error_set(s->reterr, r, "cannot read the initrd: %s", strerror(-r)) : 0;
}

int initrd_scan(int fd, uint64_t offset, uint64_t length, InitrdInfo *ret, char **reterr) {
        _cleanup_(scanner_done) Scanner s = { .reterr = reterr };
        int r;

        r = scanner_open(&s, fd, offset, length);
        if (r < 0)
                return r;
        r = run(&s);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(s.info, (InitrdInfo) {});
        return 0;
}

int initrd_list(int fd, uint64_t offset, uint64_t length, initrd_member_t callback, void *userdata,
                char **reterr) {
        _cleanup_(scanner_done) Scanner s = { .callback = callback, .userdata = userdata, .reterr = reterr };
        int r;

        r = scanner_open(&s, fd, offset, length);
        if (r < 0)
                return r;
        return run(&s);
}
