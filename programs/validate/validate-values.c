/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Values as Python reads and shows them: int(), repr(), and the type of virtual machine. */

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "error.h"
#include "strutil.h"
#include "validate.h"

static char *append_escaped(char *d, unsigned char c) {
        static const char hex[] = "0123456789abcdef";

        *d++ = '\\';
        if (c >= 0x80) { /* not UTF-8: a lone surrogate */
                memcpy(d, "udc", 3);
                d += 3;
        } else
                *d++ = 'x';
        *d++ = hex[c >> 4];
        *d++ = hex[c & 15];
        return d;
}

/* Bytes of the well-formed UTF-8 sequence at s, 0 if there is none. */
static size_t utf8_length(const char *s) {
        unsigned char c = (unsigned char) *s;
        size_t n = c < 0x80                     ? 1
                        : c >= 0xc2 && c < 0xe0 ? 2
                        : c >= 0xe0 && c < 0xf0 ? 3
                        : c >= 0xf0 && c < 0xf5 ? 4
                                                : 0;

        for (size_t i = 1; i < n; i++)
                if (((unsigned char) s[i] & 0xc0) != 0x80)
                        return 0;
        return n;
}

char *validate_repr(const char *s) {
        char quote = strchr(s, '\'') && !strchr(s, '"') ? '"' : '\'';
        char *text = malloc(6 * strlen(s) + 3), *d = text;

        if (!text)
                return NULL;
        *d++ = quote;
        while (*s) {
                static const char plain[] = "\n\r\t\\", named[] = "nrt\\";
                const char *p = strchr(plain, *s);
                size_t n = utf8_length(s);

                if (p || *s == quote) {
                        *d++ = '\\';
                        *d++ = p ? named[p - plain] : quote;
                        s++;
                } else if (n == 0 || (n == 1 && !isprint((unsigned char) *s)))
                        d = append_escaped(d, (unsigned char) *s++);
                else {
                        memcpy(d, s, n);
                        d += n;
                        s += n;
                }
        }
        *d++ = quote;
        *d = 0;
        return text;
}

static bool python_space(char c) {
        return strchr(" \t\n\r\v\f\x1c\x1d\x1e\x1f", c) != NULL && c != 0;
}

int validate_set_int(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        ValidateInt v = { .given = true };
        const char *p = value, *end = value + strlen(value);
        _cleanup_free_ char *shown = NULL;
        bool digit = false;

        while (p < end && python_space(*p))
                p++;
        while (end > p && python_space(end[-1]))
                end--;
        if (p < end && (*p == '+' || *p == '-'))
                v.negative = *p++ == '-';
        for (; p < end; p++) {
                if (*p == '_' && digit && p + 1 < end && isdigit((unsigned char) p[1])) {
                        digit = false;
                        continue;
                }
                if (!isdigit((unsigned char) *p))
                        break;
                digit = true;
                v.big = v.big || v.low > (UINT64_MAX - (uint64_t) (*p - '0')) / 10;
                v.low = v.low * 10 + (uint64_t) (*p - '0');
        }
        if (p != end || !digit) {
                shown = validate_repr(value);
                return error_set(reterr, -EINVAL, "invalid int value: %s", shown ?: "");
        }
        if (v.negative) {
                v.negative = v.big || v.low > 0;
                v.big = v.big || v.low > (uint64_t) INT64_MAX;
                v.low = 0 - v.low;
        } else
                v.big = v.big || v.low > (uint64_t) INT64_MAX;
        *(ValidateInt *) ((char *) userdata + row->offset) = v;
        return 0;
}

int validate_set_vm_type(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        if (!streq(value, "legacy") && !streq(value, "new"))
                return error_set(reterr, -EINVAL, "expected legacy or new, not '%s'", value);
        *(bool *) ((char *) userdata + row->offset) = streq(value, "new");
        return 0;
}
