/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "encode.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "error.h"

static const char hex_digits[16] = "0123456789abcdef";
static const char base64_alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Where each group of the text form gets its byte in the stored form, "-" standing between the groups. */
static const uint8_t guid_order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

char *hex_encode(const void *p, size_t n) {
        const uint8_t *b = p;
        char *s;

        if (n > (SIZE_MAX - 1) / 2)
                return NULL;
        s = malloc(2 * n + 1);
        if (!s)
                return NULL;
        for (size_t i = 0; i < n; i++) {
                s[2 * i] = hex_digits[b[i] >> 4];
                s[2 * i + 1] = hex_digits[b[i] & 15];
        }
        s[2 * n] = 0;
        return s;
}

static int unhex(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -EINVAL;
}

static int hex_decode_into(const char *text, uint8_t *buf, size_t n) {
        for (size_t i = 0; i < n; i++) {
                int h = unhex(text[2 * i]), l = unhex(text[2 * i + 1]);

                if (h < 0 || l < 0)
                        return -EINVAL;
                buf[i] = (uint8_t) (h << 4 | l);
        }
        return 0;
}

int hex_decode(const char *text, size_t len, uint8_t **ret, size_t *ret_size) {
        _cleanup_free_ uint8_t *buf = NULL;
        int r;

        if (len % 2 != 0)
                return -EINVAL;
        if (len > 0) {
                buf = malloc(len / 2);
                if (!buf)
                        return -ENOMEM;
        }
        r = hex_decode_into(text, buf, len / 2);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(buf);
        *ret_size = len / 2;
        return 0;
}

int hex_decode_exact(const char *text, void *buf, size_t n) {
        _cleanup_free_ uint8_t *b = NULL;
        size_t size;
        int r;

        if (strlen(text) != 2 * n)
                return -EINVAL;
        r = hex_decode(text, 2 * n, &b, &size);
        if (r < 0)
                return r;
        if (n > 0)
                memcpy(buf, b, n);
        return 0;
}

char *base64_encode(const void *p, size_t n) {
        const uint8_t *b = p;
        char *s, *d;

        if (n > (SIZE_MAX - 1) / 4 * 3 - 3)
                return NULL;
        d = s = malloc((n + 2) / 3 * 4 + 1);
        if (!s)
                return NULL;

        for (size_t i = 0; i < n; i += 3) {
                size_t left = n - i;
                uint32_t v = (uint32_t) b[i] << 16 | (left > 1 ? (uint32_t) b[i + 1] << 8 : 0) |
                                (left > 2 ? (uint32_t) b[i + 2] : 0);

                *d++ = base64_alphabet[v >> 18];
                *d++ = base64_alphabet[v >> 12 & 63];
                *d++ = left > 1 ? base64_alphabet[v >> 6 & 63] : '=';
                *d++ = left > 2 ? base64_alphabet[v & 63] : '=';
        }
        *d = 0;
        return s;
}

static int unbase64(char c) {
        const char *p;

        if (c == 0)
                return -EINVAL;
        p = memchr(base64_alphabet, c, sizeof(base64_alphabet));
        return p ? (int) (p - base64_alphabet) : -EINVAL;
}

/* Decodes one group of four characters; the last may end in one or two '='. Returns the bytes written. */
static int base64_group(const char *t, bool last, uint8_t out[static 3]) {
        int n = 3, v[4];

        if (last && t[3] == '=')
                n = t[2] == '=' ? 1 : 2;
        for (int i = 0; i < 4; i++) {
                v[i] = i > n ? 0 : unbase64(t[i]);
                if (v[i] < 0)
                        return -EINVAL;
        }
        /* Bits that no byte uses must be zero, or two texts would mean the same bytes. */
        if ((n == 1 && (v[1] & 15) != 0) || (n == 2 && (v[2] & 3) != 0))
                return -EINVAL;

        out[0] = (uint8_t) (v[0] << 2 | v[1] >> 4);
        out[1] = (uint8_t) (v[1] << 4 | v[2] >> 2);
        out[2] = (uint8_t) (v[2] << 6 | v[3]);
        return n;
}

int base64_decode(const char *text, size_t len, uint8_t **ret, size_t *ret_size) {
        _cleanup_free_ uint8_t *buf = NULL;
        size_t size = 0;

        if (len % 4 != 0)
                return -EINVAL;
        if (len > 0) {
                buf = malloc(len / 4 * 3);
                if (!buf)
                        return -ENOMEM;
        }

        for (size_t i = 0; i < len; i += 4) {
                uint8_t out[3];
                int n = base64_group(text + i, i + 4 == len, out);

                if (n < 0)
                        return n;
                memcpy(buf + size, out, (size_t) n);
                size += (size_t) n;
        }

        *ret = TAKE_PTR(buf);
        *ret_size = size;
        return 0;
}

int bytes_from_text(const char *text, void *buf, size_t n, char **reterr) {
        const char *digits = strncmp(text, "0x", 2) == 0 ? text + 2 : text;
        size_t n_digits = strspn(digits, "0123456789abcdefABCDEF"), size = 0;
        _cleanup_free_ uint8_t *data = NULL;

        if (hex_decode_exact(digits, buf, n) >= 0)
                return 0;
        if (n_digits > 0 && !digits[n_digits])
                return error_set(reterr, -EINVAL,
                                "expected %zu bytes, which are %zu hexadecimal digits, not %zu", n, 2 * n,
                                n_digits);
        if (base64_decode(text, strlen(text), &data, &size) < 0 || size != n)
                return error_set(reterr, -EINVAL,
                                "expected %zu bytes in hexadecimal (%zu digits) or base64, not '%s'", n,
                                2 * n, text);
        memcpy(buf, data, n);
        return 0;
}

void guid_format(const Guid *g, char ret[static GUID_TEXT_SIZE]) {
        char *d = ret;

        for (size_t i = 0; i < sizeof(guid_order); i++) {
                uint8_t b = g->bytes[guid_order[i]];

                if (i == 4 || i == 6 || i == 8 || i == 10)
                        *d++ = '-';
                *d++ = hex_digits[b >> 4];
                *d++ = hex_digits[b & 15];
        }
        *d = 0;
}

int guid_parse(const char *text, Guid *ret) {
        Guid g;

        if (strlen(text) != GUID_TEXT_SIZE - 1)
                return -EINVAL;
        for (size_t i = 0; i < sizeof(guid_order); i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10) {
                        if (*text != '-')
                                return -EINVAL;
                        text++;
                }
                if (hex_decode_into(text, &g.bytes[guid_order[i]], 1) < 0)
                        return -EINVAL;
                text += 2;
        }
        *ret = g;
        return 0;
}

int guid_equal(const Guid *a, const Guid *b) {
        return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
