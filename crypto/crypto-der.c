/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-der.h"

#include <errno.h>

#define DER_LENGTH_BYTES_MAX 3 /* 16 MiB: a CRL is the largest thing read here, and far smaller */

static int read_length(ByteReader *r, size_t *ret) {
        uint8_t first, b;
        size_t n = 0;
        int k;

        k = byte_reader_u8(r, &first);
        if (k < 0)
                return k;
        if (first < 0x80) {
                *ret = first;
                return 0;
        }
        first &= 0x7f;
        if (first == 0 || first > DER_LENGTH_BYTES_MAX)
                return -EBADMSG;
        for (uint8_t i = 0; i < first; i++) {
                k = byte_reader_u8(r, &b);
                if (k < 0)
                        return k;
                if (i == 0 && b == 0)
                        return -EBADMSG; /* a shorter form exists */
                n = n << 8 | b;
        }
        if (n < 0x80)
                return -EBADMSG;
        *ret = n;
        return 0;
}

int der_next(ByteReader *r, DerValue *ret) {
        ByteReader c = *r;
        DerValue v = { .whole = c.data + c.pos };
        int k;

        k = byte_reader_u8(&c, &v.tag);
        if (k < 0)
                return k;
        if ((v.tag & 0x1f) == 0x1f)
                return -EBADMSG; /* a tag of several bytes */
        k = read_length(&c, &v.size);
        if (k < 0)
                return k;
        k = byte_reader_take(&c, v.size, &v.data);
        if (k < 0)
                return k;

        v.whole_size = c.pos - r->pos;
        *r = c;
        *ret = v;
        return 0;
}

int der_expect(ByteReader *r, uint8_t tag, DerValue *ret) {
        ByteReader c = *r;
        DerValue v;
        int k;

        k = der_next(&c, &v);
        if (k < 0)
                return k;
        if (v.tag != tag)
                return -EBADMSG;
        *r = c;
        *ret = v;
        return 0;
}

bool der_peek(const ByteReader *r, uint8_t tag) {
        return byte_reader_left(r) > 0 && r->data[r->pos] == tag;
}

int der_unsigned(const DerValue *v, const uint8_t **ret, size_t *ret_size) {
        if (v->tag != DER_INTEGER || v->size == 0 || v->data[0] >= 0x80)
                return -EBADMSG;
        if (v->size > 1 && v->data[0] == 0) {
                if (v->data[1] < 0x80)
                        return -EBADMSG; /* not the shortest form */
                *ret = v->data + 1;
                *ret_size = v->size - 1;
                return 0;
        }
        *ret = v->data;
        *ret_size = v->size;
        return 0;
}

int der_u64(const DerValue *v, uint64_t *ret) {
        const uint8_t *p;
        uint64_t x = 0;
        size_t n;
        int k;

        k = der_unsigned(v, &p, &n);
        if (k < 0)
                return k;
        if (n > 8)
                return -ERANGE;
        for (size_t i = 0; i < n; i++)
                x = x << 8 | p[i];
        *ret = x;
        return 0;
}

int der_bits(const DerValue *v, const uint8_t **ret, size_t *ret_size) {
        if (v->tag != DER_BIT_STRING || v->size < 1 || v->data[0] != 0)
                return -EBADMSG;
        *ret = v->data + 1;
        *ret_size = v->size - 1;
        return 0;
}

static int two_digits(const uint8_t *p, int max, int *ret) {
        int v;

        if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
                return -EBADMSG;
        v = (p[0] - '0') * 10 + (p[1] - '0');
        if (v > max)
                return -EBADMSG;
        *ret = v;
        return 0;
}

/* Days from 1970-01-01 to a day of the proleptic Gregorian calendar; years begin in March here, so that the leap day is
 * the last. */
static int64_t days_from_civil(int year, int month, int day) {
        int64_t y = year - (month <= 2), era = y / 400, of_era = y - era * 400;
        int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

        return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

int der_time(const DerValue *v, int64_t *ret) {
        static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        int century = 0, year, field[5];
        const uint8_t *p = v->data;
        bool leap;

        if (v->tag == DER_GENERALIZED_TIME) {
                if (v->size != 15 || two_digits(p, 99, &century) < 0)
                        return -EBADMSG;
                p += 2;
        } else if (v->tag != DER_UTC_TIME || v->size != 13)
                return -EBADMSG;

        if (p[12] != 'Z' || two_digits(p, 99, &year) < 0)
                return -EBADMSG;
        for (size_t i = 0; i < ELEMENTSOF(field); i++) {
                static const int max[] = { 12, 31, 23, 59, 59 };

                if (two_digits(p + 2 + 2 * i, max[i], &field[i]) < 0)
                        return -EBADMSG;
        }
        year += v->tag == DER_GENERALIZED_TIME ? century * 100 : year < 50 ? 2000 : 1900;
        leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        if (year < 1950 || field[0] < 1 || field[1] < 1 || field[1] > days[field[0] - 1] ||
                        (field[0] == 2 && field[1] == 29 && !leap))
                return -EBADMSG;

        *ret = days_from_civil(year, field[0], field[1]) * 86400 + field[2] * 3600 + field[3] * 60 +
                        field[4];
        return 0;
}
