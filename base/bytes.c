/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bytes.h"

#include <errno.h>

int byte_reader_take(ByteReader *r, size_t n, const uint8_t **ret) {
        if (byte_reader_left(r) < n)
                return -ENODATA;

        *ret = r->data + r->pos;
        r->pos += n;
        return 0;
}

int byte_reader_skip(ByteReader *r, size_t n) {
        const uint8_t *p;

        return byte_reader_take(r, n, &p);
}

int byte_reader_seek(ByteReader *r, uint64_t offset) {
        if (offset > r->size)
                return -ENODATA;

        r->pos = (size_t) offset;
        return 0;
}

int byte_reader_u8(ByteReader *r, uint8_t *ret) {
        const uint8_t *p;
        int k = byte_reader_take(r, 1, &p);

        if (k < 0)
                return k;
        *ret = *p;
        return 0;
}

int byte_reader_le16(ByteReader *r, uint16_t *ret) {
        const uint8_t *p;
        int k = byte_reader_take(r, 2, &p);

        if (k < 0)
                return k;
        *ret = le16_read(p);
        return 0;
}

int byte_reader_le32(ByteReader *r, uint32_t *ret) {
        const uint8_t *p;
        int k = byte_reader_take(r, 4, &p);

        if (k < 0)
                return k;
        *ret = le32_read(p);
        return 0;
}

int byte_reader_le64(ByteReader *r, uint64_t *ret) {
        const uint8_t *p;
        int k = byte_reader_take(r, 8, &p);

        if (k < 0)
                return k;
        *ret = le64_read(p);
        return 0;
}

int byte_reader_copy(ByteReader *r, void *buf, size_t n) {
        const uint8_t *p;
        int k = byte_reader_take(r, n, &p);

        if (k < 0)
                return k;
        if (n > 0)
                memcpy(buf, p, n);
        return 0;
}

int byte_reader_sub(ByteReader *r, size_t n, ByteReader *ret) {
        const uint8_t *p;
        int k = byte_reader_take(r, n, &p);

        if (k < 0)
                return k;
        *ret = byte_reader(p, n);
        return 0;
}

bool bytes_are_zero(const void *p, size_t n) {
        const uint8_t *b = p;

        for (size_t i = 0; i < n; i++)
                if (b[i] != 0)
                        return false;
        return true;
}

static uint8_t *writer_reserve(ByteWriter *w, size_t n) {
        uint8_t *p;

        if (w->error < 0)
                return NULL;
        if (w->size - w->pos < n) {
                w->error = -ENOBUFS;
                return NULL;
        }

        p = w->data + w->pos;
        w->pos += n;
        return p;
}

void byte_writer_put(ByteWriter *w, const void *p, size_t n) {
        uint8_t *d = writer_reserve(w, n);

        if (d && n > 0)
                memcpy(d, p, n);
}

void byte_writer_zero(ByteWriter *w, size_t n) {
        uint8_t *d = writer_reserve(w, n);

        if (d && n > 0)
                memset(d, 0, n);
}

void byte_writer_u8(ByteWriter *w, uint8_t v) {
        byte_writer_put(w, &v, 1);
}

void byte_writer_le16(ByteWriter *w, uint16_t v) {
        uint8_t *d = writer_reserve(w, 2);

        if (d)
                le16_write(d, v);
}

void byte_writer_le32(ByteWriter *w, uint32_t v) {
        uint8_t *d = writer_reserve(w, 4);

        if (d)
                le32_write(d, v);
}

void byte_writer_le64(ByteWriter *w, uint64_t v) {
        uint8_t *d = writer_reserve(w, 8);

        if (d)
                le64_write(d, v);
}

void byte_writer_pad_to(ByteWriter *w, size_t offset) {
        if (w->error < 0)
                return;
        if (offset < w->pos) {
                w->error = -ENOBUFS;
                return;
        }
        byte_writer_zero(w, offset - w->pos);
}

int byte_writer_finish(const ByteWriter *w, size_t expected) {
        if (w->error < 0)
                return w->error;
        return w->pos == expected ? 0 : -EBADMSG;
}
