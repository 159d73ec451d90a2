/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cpio-newc.h"

#include <string.h>
#include <sys/stat.h>

#include "error.h"

static uint64_t align4(uint64_t x) {
        return (x + (NEWC_ALIGNMENT - 1)) & ~(uint64_t) (NEWC_ALIGNMENT - 1);
}

static int hex_field(const uint8_t *p, uint32_t *ret) {
        uint32_t v = 0;

        for (int i = 0; i < 8; i++) {
                uint32_t digit;

                if (p[i] >= '0' && p[i] <= '9')
                        digit = p[i] - '0';
                else if (p[i] >= 'a' && p[i] <= 'f')
                        digit = p[i] - 'a' + 10;
                else if (p[i] >= 'A' && p[i] <= 'F')
                        digit = p[i] - 'A' + 10;
                else
                        return -EBADMSG;
                v = v << 4 | digit;
        }
        *ret = v;
        return 0;
}

static int parse_header(NewcParser *p, char **reterr) {
        uint32_t fields[13];

        if (memcmp(p->buf, "070707", 6) == 0)
                return error_set(reterr, -EBADMSG,
                                "cpio member at offset %ju has the old 'odc' format, which the kernel does "
                                "not "
                                "read: write the archive with 'cpio -H newc'",
                                (uintmax_t) p->start);
        if (memcmp(p->buf, "070701", 6) != 0 && memcmp(p->buf, "070702", 6) != 0)
                return error_set(reterr, -EBADMSG,
                                "no cpio header at offset %ju, where a member should begin",
                                (uintmax_t) p->start);
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (hex_field(p->buf + 6 + 8 * i, fields + i) < 0)
                        return error_set(reterr, -EBADMSG,
                                        "cpio header at offset %ju is damaged: field %zu is no hexadecimal "
                                        "number",
                                        (uintmax_t) p->start, i);

        p->head = (NewcMember) {
                .offset = p->start,
                .ino = fields[0],
                .mode = fields[1],
                .uid = fields[2],
                .gid = fields[3],
                .nlink = fields[4],
                .mtime = fields[5],
                .size = fields[6],
        };
        p->name_size = fields[11];
        return 0;
}

/* Whether the kernel looks at the name at all. */
static bool is_read(const NewcParser *p) {
        if (p->name_size == 0 || p->name_size > NEWC_NAME_MAX)
                return false;
        if (S_ISLNK(p->head.mode))
                return p->head.size <= NEWC_NAME_MAX;
        return S_ISREG(p->head.mode) || p->head.size == 0;
}

/* Everything of the member that is behind the bytes already taken. Sums of two 32-bit numbers: no overflow. */
static void skip_rest(NewcParser *p) {
        uint64_t whole = align4(align4(NEWC_HEADER_SIZE + (uint64_t) p->name_size) + p->head.size);

        p->skip = p->start + whole - p->position;
        p->state = p->skip > 0 ? NEWC_STATE_SKIP : NEWC_STATE_BETWEEN;
        p->have = 0;
}

static int take_name(NewcParser *p, char **reterr) {
        int r;

        if (p->buf[p->name_size - 1] != 0)
                return error_set(reterr, -EBADMSG, "name of the cpio member at offset %ju has no end",
                                (uintmax_t) p->start);

        p->head.path = (const char *) p->buf;
        p->trailed = strcmp(p->head.path, NEWC_TRAILER) == 0;
        r = !p->trailed && p->callback ? p->callback(&p->head, p->userdata) : 0;
        p->head.path = NULL;
        skip_rest(p);
        return r > 0 ? NEWC_STOPPED : r;
}

/* Collects up to `want` bytes; true once they are there. */
static bool collect(NewcParser *p, size_t want, const uint8_t *data, size_t n, size_t *used) {
        size_t k = MIN(want - p->have, n - *used);

        memcpy(p->buf + p->have, data + *used, k);
        p->have += k;
        p->position += k;
        *used += k;
        return p->have == want;
}

/* True if a member begins at the next byte. */
static bool at_member(NewcParser *p, const uint8_t *data, size_t n, size_t *used) {
        while (*used < n && data[*used] == 0) {
                (*used)++;
                p->position++;
        }
        return *used < n && data[*used] == '0' && p->position % NEWC_ALIGNMENT == 0;
}

/* The trailer has been reported already when its padding ends a buffer. */
static int between(NewcParser *p, const uint8_t *data, size_t n, size_t *used) {
        if (p->trailed) {
                p->trailed = false;
                if (p->stop_at_trailer)
                        return NEWC_TRAILED;
        }
        if (at_member(p, data, n, used)) {
                p->start = p->position;
                p->have = 0;
                p->state = NEWC_STATE_HEADER;
                return NEWC_MORE;
        }
        return *used < n ? NEWC_FOREIGN : NEWC_MORE;
}

static int step(NewcParser *p, const uint8_t *data, size_t n, size_t *used, char **reterr) {
        int r;

        switch (p->state) {
        case NEWC_STATE_BETWEEN:
                return between(p, data, n, used);

        case NEWC_STATE_HEADER:
                if (!collect(p, NEWC_HEADER_SIZE, data, n, used))
                        return NEWC_MORE;
                r = parse_header(p, reterr);
                if (r < 0)
                        return r;
                if (is_read(p)) {
                        p->have = 0;
                        p->state = NEWC_STATE_NAME;
                } else
                        skip_rest(p);
                return NEWC_MORE;

        case NEWC_STATE_NAME:
                return collect(p, p->name_size, data, n, used) ? take_name(p, reterr) : NEWC_MORE;

        case NEWC_STATE_SKIP: {
                size_t k = (size_t) MIN(p->skip, (uint64_t) (n - *used));

                *used += k;
                return newc_parser_skip(p, k);
        }
        }
        assert(false);
        return -EINVAL;
}

int newc_parser_skip(NewcParser *p, uint64_t n) {
        assert(p->state == NEWC_STATE_SKIP && n <= p->skip);

        p->position += n;
        p->skip -= n;
        if (p->skip > 0)
                return NEWC_MORE;
        p->state = NEWC_STATE_BETWEEN;
        if (p->trailed && p->stop_at_trailer) {
                p->trailed = false;
                return NEWC_TRAILED;
        }
        return NEWC_MORE;
}

int newc_parser_feed(NewcParser *p, const uint8_t *data, size_t n, size_t *ret_used, char **reterr) {
        size_t used = 0;
        int r = NEWC_MORE;

        while (used < n && r == NEWC_MORE)
                r = step(p, data, n, &used, reterr);
        if (r >= 0)
                *ret_used = used;
        return r;
}

int newc_parser_finish(const NewcParser *p, bool lenient, char **reterr) {
        if (p->state == NEWC_STATE_BETWEEN)
                return 0;
        if (lenient && p->state == NEWC_STATE_SKIP && p->skip < NEWC_ALIGNMENT)
                return 0;
        return error_set(reterr, -EBADMSG, "cpio archive ends inside of the member at offset %ju",
                        (uintmax_t) p->start);
}
