/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Numbers, sizes, times and escapes: the part of strutil.h that reads what a user typed. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "overflow.h"
#include "strutil.h"

/* So that a fraction times a TiB fits 64 bits; enough to name any MiB of a TiB. */
#define FRACTION_DIGITS_MAX 6

static int digit_value(char c, unsigned base) {
        int v = c >= '0' && c <= '9'           ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : 99;

        return v < (int) base ? v : -EINVAL;
}

/* Reads digits of `base` up to the first other character; at least one. */
static int read_digits(const char **s, unsigned base, uint64_t *ret) {
        const char *p = *s;
        uint64_t v = 0;

        for (; digit_value(*p, base) >= 0; p++)
                if (!mul_u64(v, base, &v) || !add_u64(v, (uint64_t) digit_value(*p, base), &v))
                        return -ERANGE;
        if (p == *s)
                return -EINVAL;
        *s = p;
        *ret = v;
        return 0;
}

int parse_u64(const char *s, uint64_t *ret) {
        unsigned base = 10;
        uint64_t v;
        int r;

        if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
                base = 16;
                s += 2;
        }
        r = read_digits(&s, base, &v);
        if (r < 0)
                return r;
        if (*s)
                return -EINVAL;
        *ret = v;
        return 0;
}

int parse_u64_max(const char *s, uint64_t max, uint64_t *ret) {
        uint64_t v;
        int r = parse_u64(s, &v);

        if (r < 0)
                return r;
        if (v > max)
                return -ERANGE;
        *ret = v;
        return 0;
}

int parse_unsigned(const char *s, unsigned *ret) {
        uint64_t v;
        int r = parse_u64_max(s, UINT32_MAX, &v);

        if (r < 0)
                return r;
        *ret = (unsigned) v;
        return 0;
}

int parse_boolean(const char *s) {
        static const char *const yes[] = { "1", "yes", "y", "true", "t", "on" };
        static const char *const no[] = { "0", "no", "n", "false", "f", "off" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++)
                if (strcasecmp(s, yes[i]) == 0)
                        return 1;
        for (size_t i = 0; i < ELEMENTSOF(no); i++)
                if (strcasecmp(s, no[i]) == 0)
                        return 0;
        return -EINVAL;
}

/* ".5" as numerator and denominator; without a point 0/1. */
static int read_fraction(const char **s, uint64_t *ret, uint64_t *ret_of) {
        const char *begin;
        int r;

        *ret = 0;
        *ret_of = 1;
        if (**s != '.')
                return 0;
        begin = ++*s;
        r = read_digits(s, 10, ret);
        if (r < 0 || *s - begin > FRACTION_DIGITS_MAX)
                return -EINVAL;
        for (; begin < *s; begin++)
                *ret_of *= 10;
        return 0;
}

int parse_size(const char *s, uint64_t *ret) {
        static const char suffixes[] = "BKMGT";
        uint64_t v, part, of, unit = 1;
        int r = read_digits(&s, 10, &v);

        if (r >= 0)
                r = read_fraction(&s, &part, &of);
        if (r < 0)
                return r;
        if (*s) {
                const char *p = strchr(suffixes, *s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s);

                if (!p || s[1])
                        return -EINVAL;
                for (const char *q = suffixes; q < p; q++)
                        unit *= 1024;
        }
        if (of > 1 && unit == 1)
                return -EINVAL;
        if (!mul_u64(v, unit, &v) || !add_u64(v, part * unit / of, &v))
                return -ERANGE;
        *ret = v;
        return 0;
}

int parse_usec(const char *s, uint64_t *ret) {
        static const struct {
                const char *name;
                uint64_t usec;
        } units[] = {
                /* longer names first where one begins another */
                { "us", 1 },
                { "ms", 1000 },
                { "min", 60000000 },
                { "m", 60000000 },
                { "h", 3600000000 },
                { "sec", 1000000 },
                { "s", 1000000 },
        };
        uint64_t sum = 0;

        if (streq(s, "infinity")) {
                *ret = 0;
                return 0;
        }
        do {
                uint64_t v, unit = 1000000;
                int r = read_digits(&s, 10, &v);

                if (r < 0)
                        return r;
                s += strspn(s, " ");
                for (size_t i = 0; i < ELEMENTSOF(units); i++)
                        if (startswith(s, units[i].name)) {
                                unit = units[i].usec;
                                s += strlen(units[i].name);
                                break;
                        }
                s += strspn(s, " ");
                if (!mul_u64(v, unit, &v) || !add_u64(sum, v, &sum))
                        return -ERANGE;
        } while (*s);

        *ret = sum;
        return 0;
}

/* Exactly n digits of the base. */
static int fixed_digits(const char *s, size_t left, unsigned base, size_t n, uint32_t *ret) {
        uint32_t v = 0;

        if (left < n)
                return -EINVAL;
        for (size_t i = 0; i < n; i++) {
                int d = digit_value(s[i], base);
                if (d < 0)
                        return -EINVAL;
                v = v * base + (uint32_t) d;
        }
        *ret = v;
        return 0;
}

static int utf8_put(uint32_t c, char out[static 4]) {
        if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return -EINVAL;
        if (c < 0x80) {
                out[0] = (char) c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (char) (0xc0 | c >> 6);
                out[1] = (char) (0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (char) (0xe0 | c >> 12);
                out[1] = (char) (0x80 | (c >> 6 & 0x3f));
                out[2] = (char) (0x80 | (c & 0x3f));
                return 3;
        }
        out[0] = (char) (0xf0 | c >> 18);
        out[1] = (char) (0x80 | (c >> 12 & 0x3f));
        out[2] = (char) (0x80 | (c >> 6 & 0x3f));
        out[3] = (char) (0x80 | (c & 0x3f));
        return 4;
}

/* Decodes the escape behind a backslash. Returns the characters consumed, *n the bytes written to out. */
static int unescape_one(const char *s, size_t left, char out[static 4], size_t *n) {
        static const char from[] = "abfnrtv\\\"'s", to[] = "\a\b\f\n\r\t\v\\\"' ";
        uint32_t v;
        int k;

        if (left == 0)
                return -EINVAL;

        const char *p = *s ? strchr(from, *s) : NULL;
        if (p) {
                out[0] = to[p - from];
                *n = 1;
                return 1;
        }

        switch (*s) {
        case 'x':
                if (fixed_digits(s + 1, left - 1, 16, 2, &v) < 0)
                        return -EINVAL;
                out[0] = (char) v;
                *n = 1;
                return 3;
        case 'u':
        case 'U': {
                size_t digits = *s == 'u' ? 4 : 8;

                if (fixed_digits(s + 1, left - 1, 16, digits, &v) < 0)
                        return -EINVAL;
                k = utf8_put(v, out);
                if (k < 0)
                        return k;
                *n = (size_t) k;
                return (int) digits + 1;
        }
        default:
                if (fixed_digits(s, left, 8, 3, &v) < 0 || v > 255)
                        return -EINVAL;
                out[0] = (char) v;
                *n = 1;
                return 3;
        }
}

int unescape_c(const char *s, size_t len, char **ret, size_t *ret_size, size_t *reterr_offset) {
        _cleanup_free_ char *buf = malloc(len + 1);
        size_t size = 0;

        if (!buf)
                return -ENOMEM;

        /* No escape yields more bytes than it has characters, so len bytes always do. */
        for (size_t i = 0; i < len;) {
                char out[4];
                size_t n;
                int k;

                if (s[i] != '\\') {
                        buf[size++] = s[i++];
                        continue;
                }
                k = unescape_one(s + i + 1, len - i - 1, out, &n);
                if (k < 0) {
                        if (reterr_offset)
                                *reterr_offset = i;
                        return -EINVAL;
                }
                memcpy(buf + size, out, n);
                size += n;
                i += 1 + (size_t) k;
        }

        buf[size] = 0;
        *ret = TAKE_PTR(buf);
        *ret_size = size;
        return 0;
}
