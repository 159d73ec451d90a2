/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "encode.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/types.h>

#include "error.h"
#include "secret.h"

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

/* Texts are decoded in blocks of this many characters, whose loops become vector instructions, and without a branch for each character: bundles have a
 * million of them, which no processor foresees, and keys are among what is decoded. */
#define BLOCK 64u

/* Their values, and 0x80 for each other character; or all of them in one byte. */
static uint8_t unhex_block(const char *text, uint8_t v[static BLOCK]) {
        uint8_t bad = 0;

        for (size_t i = 0; i < BLOCK; i++) {
                uint8_t u = (uint8_t) text[i], digit = (uint8_t) (u - '0'),
                        letter = (uint8_t) ((u | 0x20) - 'a');

                v[i] = digit < 10 ? digit : letter < 6 ? (uint8_t) (letter + 10) : 0x80;
                bad |= v[i];
        }
        return bad;
}

static int hex_decode_into(const char *text, uint8_t *buf, size_t n) {
        uint8_t bad = 0, v[BLOCK];
        char last[BLOCK];

        for (size_t done = 0; done < n; done += BLOCK / 2) {
                size_t count = MIN(n - done, (size_t) BLOCK / 2);

                if (count == BLOCK / 2)
                        bad |= unhex_block(text + 2 * done, v);
                else {
                        memset(last, '0', sizeof(last));
                        memcpy(last, text + 2 * done, 2 * count);
                        bad |= unhex_block(last, v);
                }
                for (size_t i = 0; i < count; i++)
                        buf[done + i] = (uint8_t) (v[2 * i] << 4 | v[2 * i + 1]);
        }
        erase_memory(v, sizeof(v));
        erase_memory(last, sizeof(last));
        return bad > 15 ? -EINVAL : 0;
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

        uint8_t few[64];

        if (strlen(text) != 2 * n)
                return -EINVAL;
        if (n <= sizeof(few)) {
                r = hex_decode_into(text, few, n);
                if (r >= 0)
                        memcpy(buf, few, n);
                erase_memory(few, sizeof(few));
                return r;
        }
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

/* What a vector instruction takes. A comparison gives 0xff for each byte that it is true of, and so selects. */
#define LANES 16u
typedef uint8_t Lanes __attribute__((vector_size(LANES)));

/* Nothing that is not the alphabet's is less than 64. */
static void unbase64(const char *text, uint8_t v[static LANES]) {
        Lanes c, upper, lower, digit;

        memcpy(&c, text, sizeof(c));
        upper = c - 'A';
        lower = c - 'a';
        digit = c - '0';
        c = (((Lanes) (upper < 26) & (upper + 1)) | ((Lanes) (lower < 26) & (lower + 27)) |
                            ((Lanes) (digit < 10) & (digit + 53)) | ((Lanes) (c == '+') & 63) |
                            ((Lanes) (c == '/') & 64)) -
                        1;
        memcpy(v, &c, sizeof(c));
}

static void put_group(const uint8_t v[static 4], uint8_t out[static 3]) {
        out[0] = (uint8_t) (v[0] << 2 | v[1] >> 4);
        out[1] = (uint8_t) (v[1] << 4 | v[2] >> 2);
        out[2] = (uint8_t) (v[2] << 6 | v[3]);
}

/* Without the last group, which may be padded: how many characters were decoded, or -EINVAL. */
static ssize_t base64_lanes(const char *text, size_t len, uint8_t *out) {
        uint8_t bad = 0, v[LANES];
        size_t done;

        for (done = 0; len - done > LANES; done += LANES) {
                unbase64(text + done, v);
                for (size_t i = 0; i < LANES; i++)
                        bad |= v[i];
                for (size_t i = 0; i < LANES; i += 4, out += 3)
                        put_group(v + i, out);
        }
        erase_memory(v, sizeof(v));
        return bad > 63 ? -EINVAL : (ssize_t) done;
}

/* Decodes one group of four characters; the last may end in one or two '='. Returns the bytes written. */
static int base64_group(const char *t, bool last, uint8_t out[static 3]) {
        char text[LANES] = "AAAA";
        uint8_t v[LANES];
        int n = 3;

        if (last && t[3] == '=')
                n = t[2] == '=' ? 1 : 2;
        memcpy(text, t, (size_t) n + 1);
        unbase64(text, v);
        /* Bits that no byte uses must be zero, or two texts would mean the same bytes. */
        if ((v[0] | v[1] | v[2] | v[3]) > 63 || (n == 1 && (v[1] & 15) != 0) || (n == 2 && (v[2] & 3) != 0))
                return -EINVAL;
        put_group(v, out);
        return n;
}

int base64_decode(const char *text, size_t len, uint8_t **ret, size_t *ret_size) {
        _cleanup_free_ uint8_t *buf = NULL;
        ssize_t lanes;
        size_t size;

        if (len % 4 != 0)
                return -EINVAL;
        if (len > 0) {
                buf = malloc(len / 4 * 3);
                if (!buf)
                        return -ENOMEM;
        }

        lanes = base64_lanes(text, len, buf);
        if (lanes < 0)
                return (int) lanes;
        size = (size_t) lanes / 4 * 3;
        for (size_t i = (size_t) lanes; i < len; i += 4) {
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
