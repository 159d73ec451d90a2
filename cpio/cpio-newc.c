/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cpio-newc.h"

#include <stdio.h>
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
                                "cpio member at offset %ju has the old 'odc' format, which the kernel does not read: write the archive with 'cpio -H newc'",
                                (uintmax_t) p->start);
        if (memcmp(p->buf, "070701", 6) != 0 && memcmp(p->buf, "070702", 6) != 0)
                return error_set(reterr, -EBADMSG,
                                "no cpio header at offset %ju, where a member should begin",
                                (uintmax_t) p->start);
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (hex_field(p->buf + 6 + 8 * i, fields + i) < 0)
                        return error_set(reterr, -EBADMSG,
                                        "cpio header at offset %ju is damaged: field %zu is not a hexadecimal number",
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
        p->summed = p->buf[5] == '2';
        p->wanted_sum = fields[12];
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

/* The file's data comes next. What does not add up ends the unpacking, with all that follows. */
static int end_sum(NewcParser *p, char **reterr) {
        if (p->sum != p->wanted_sum)
                return error_set(reterr, -EBADMSG,
                                "the checksum of the cpio member at offset %ju is 0x%08x, the sum of its data is 0x%08x: the kernel ignores everything after it; "
                                "write the archive with 'cpio -H newc'",
                                (uintmax_t) p->start, p->wanted_sum, p->sum);
        skip_rest(p);
        return NEWC_MORE;
}

static int begin_sum(NewcParser *p, char **reterr) {
        uint64_t data = align4(NEWC_HEADER_SIZE + (uint64_t) p->name_size);

        p->sum = 0;
        if (p->head.size == 0)
                return end_sum(p, reterr);
        p->unsummed = data + p->head.size + p->start - p->position;
        p->have = 0;
        p->state = NEWC_STATE_SUM;
        return NEWC_MORE;
}

static int take_sum(NewcParser *p, const uint8_t *data, size_t n, size_t *used, char **reterr) {
        size_t k = (size_t) MIN(p->unsummed, (uint64_t) (n - *used));

        for (size_t i = 0; i < k; i++) {
                /* The padding of the name comes first, and does not count. */
                if (p->unsummed - i <= p->head.size)
                        p->sum += data[*used + i];
        }
        *used += k;
        p->position += k;
        p->unsummed -= k;
        return p->unsummed > 0 ? NEWC_MORE : end_sum(p, reterr);
}

static int take_name(NewcParser *p, char **reterr) {
        int r;

        if (p->buf[p->name_size - 1] != 0)
                return error_set(reterr, -EBADMSG,
                                "the name of the cpio member at offset %ju is not terminated",
                                (uintmax_t) p->start);

        p->head.path = (const char *) p->buf;
        p->trailed = strcmp(p->head.path, NEWC_TRAILER) == 0;
        r = !p->trailed && p->callback ? p->callback(&p->head, p->userdata) : 0;
        p->head.path = NULL;
        if (r < 0)
                return r;
        if (r == 0 && p->summed && !p->trailed && S_ISREG(p->head.mode))
                return begin_sum(p, reterr);
        skip_rest(p);
        return r > 0 ? NEWC_STOPPED : 0;
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

        case NEWC_STATE_SUM:
                return take_sum(p, data, n, used, reterr);

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
        return error_set(reterr, -EBADMSG, "the cpio archive ends inside the member at offset %ju",
                        (uintmax_t) p->start);
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

uint64_t newc_member_size(uint64_t name_length, uint64_t data_size) {
        if (name_length >= NEWC_NAME_MAX || data_size > UINT32_MAX)
                return 0;
        return align4(NEWC_HEADER_SIZE + name_length + 1) + align4(data_size);
}

void newc_write(ByteWriter *w, const NewcMember *m, const void *data) {
        const size_t name_size = strlen(m->path) + 1;
        char header[NEWC_HEADER_SIZE + 1];

        /* After the size come the four numbers of two devices, after the name's size the checksum that 070701 does not have. */
        (void) snprintf(header, sizeof(header), "070701%08x%08x%08x%08x%08x%08x%08x%032x%08x%08x", m->ino,
                        m->mode, m->uid, m->gid, m->nlink, m->mtime, m->size, 0u, (unsigned) name_size, 0u);
        byte_writer_put(w, header, NEWC_HEADER_SIZE);
        byte_writer_put(w, m->path, name_size);
        byte_writer_pad_to(w, align4(w->pos));
        byte_writer_put(w, data, m->size);
        byte_writer_pad_to(w, align4(w->pos));
}
