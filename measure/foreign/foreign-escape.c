/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-escape.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>

static void put_byte(Text *t, unsigned value) {
        char c = (char) (value & 0xff);

        text_put_n(t, &c, 1);
}

/* UTF-8 of a code point. */
static void put_character(Text *t, uint32_t c) {
        if (c < 0x80)
                put_byte(t, c);
        else if (c < 0x800) {
                put_byte(t, 0xc0 | c >> 6);
                put_byte(t, 0x80 | (c & 0x3f));
        } else if (c < 0x10000) {
                put_byte(t, 0xe0 | c >> 12);
                put_byte(t, 0x80 | (c >> 6 & 0x3f));
                put_byte(t, 0x80 | (c & 0x3f));
        } else {
                put_byte(t, 0xf0 | c >> 18);
                put_byte(t, 0x80 | (c >> 12 & 0x3f));
                put_byte(t, 0x80 | (c >> 6 & 0x3f));
                put_byte(t, 0x80 | (c & 0x3f));
        }
}

/* Up to `max` digits of the base: how many there were. */
static size_t digits(const char *s, unsigned base, size_t max, uint32_t *ret) {
        uint32_t value = 0;
        size_t n = 0;

        for (; n < max; n++) {
                unsigned char c = (unsigned char) s[n];
                unsigned d = isdigit(c)       ? c - (unsigned) '0'
                                : isxdigit(c) ? (unsigned) tolower(c) - 'a' + 10
                                              : base;

                if (d >= base)
                        break;
                value = value * base + d;
        }
        *ret = value;
        return n;
}

/* Letters that stand for one byte. */
static bool simple(char c, const char *letters, const char *bytes, Text *t) {
        const char *at = c ? strchr(letters, c) : NULL;

        if (at)
                put_byte(t, (unsigned char) bytes[at - letters]);
        return at;
}

void escape_bash(const char **s, Text *t) {
        const char *e = *s + 1;
        uint32_t value;
        size_t n;

        if (simple(*e, "abeEfnrtv\\'\"?", "\a\b\033\033\f\n\r\t\v\\'\"?", t)) {
                *s = e + 1;
                return;
        }
        if (*e == 'c' && e[1]) {
                put_byte(t, (unsigned char) e[1] & 0x1f);
                *s = e + 2;
                return;
        }
        n = digits(e, 8, 3, &value);
        if (n > 0) {
                put_byte(t, value);
                *s = e + n;
                return;
        }
        if (*e && strchr("xuU", *e)) {
                n = digits(e + 1, 16, *e == 'x' ? 2 : *e == 'u' ? 4 : 8, &value);
                if (n > 0) {
                        if (*e == 'x')
                                put_byte(t, value);
                        else
                                put_character(t, value);
                        *s = e + 1 + n;
                        return;
                }
        }
        text_put_n(t, *s, *e ? 2 : 1);
        *s = *e ? e + 1 : e;
}

/* JSON writes characters beyond the first plane as two halves. */
static size_t second_half(const char *s, uint32_t *value) {
        uint32_t low;

        if (*value < 0xd800 || *value > 0xdbff || s[0] != '\\' || s[1] != 'u' ||
                        digits(s + 2, 16, 4, &low) != 4 || low < 0xdc00 || low > 0xdfff)
                return 0;
        *value = 0x10000 + ((*value - 0xd800) << 10) + (low - 0xdc00);
        return 6;
}

static int code_point(const char **s, Text *t) {
        const char *e = *s + 1;
        uint32_t value;
        size_t n, width = *e == 'x' ? 2 : *e == 'u' ? 4 : 8;

        if (e[0] == 'u' && e[1] == '{') {
                n = digits(e + 2, 16, 6, &value);
                if (n == 0 || e[2 + n] != '}')
                        return -EINVAL;
                n += 2;
        } else {
                n = digits(e + 1, 16, width, &value);
                if (n != width)
                        return -EINVAL;
                if (*e == 'u')
                        n += second_half(e + 1 + n, &value);
        }
        if (*e != 'x' && (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)))
                return -EINVAL;
        if (*e == 'x')
                put_byte(t, value);
        else
                put_character(t, value);
        *s = e + 1 + n;
        return 0;
}

int escape_string(const char **s, Text *t) {
        const char *e = *s + 1;
        uint32_t value;

        if (simple(*e, "abfnrtv\\'\"/", "\a\b\f\n\r\t\v\\'\"/", t)) {
                *s = e + 1;
                return 0;
        }
        if (*e && strchr("xuU", *e))
                return code_point(s, t);
        if (digits(e, 8, 3, &value) == 3) {
                put_byte(t, value);
                *s = e + 3;
                return 0;
        }
        if (*e == '0') {
                put_byte(t, 0);
                *s = e + 1;
                return 0;
        }
        return -EINVAL;
}
