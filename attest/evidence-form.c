/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "evidence-form.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"

#define TEXT_SIZE_MIN 64u /* shorter texts are not worth a guess */

static const char pem_mark[] = "-----BEGIN";

typedef struct Buffer {
        uint8_t *data; /* owned */
        size_t size;
} Buffer;

static bool is_blank(uint8_t c) {
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool begins_with(const uint8_t *p, size_t n, const char *s) {
        return n >= strlen(s) && memcmp(p, s, strlen(s)) == 0;
}

static int hex_digit(uint8_t c) {
        return c >= '0' && c <= '9'                              ? c - '0'
                        : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                                 : -1;
}

static bool holds(const uint8_t *p, size_t n, const char *s) {
        return memmem(p, n, s, strlen(s)) != NULL;
}

/* Each of the following: 1 and *ret (owned), 0 if the bytes are not of this form, -ENOMEM. */

/* ASCII in UTF-16, little-endian and without a byte order mark. */
static bool is_bare_utf16(const uint8_t *p, size_t n) {
        if (n < TEXT_SIZE_MIN || n % 2 != 0)
                return false;
        for (size_t i = 0; i < n; i += 2)
                if (p[i] == 0 || p[i] >= 0x80 || p[i + 1] != 0)
                        return false;
        return true;
}

/* A byte order mark, and UTF-16 that holds only ASCII. */
static int undo_unicode(const uint8_t *p, size_t n, Buffer *ret) {
        bool bare = is_bare_utf16(p, n);
        bool little = begins_with(p, n, "\xff\xfe"), big = begins_with(p, n, "\xfe\xff");
        Buffer b = {};

        if (!begins_with(p, n, "\xef\xbb\xbf") && !little && !big && !bare)
                return 0;
        b.data = malloc(n);
        if (!b.data)
                return -ENOMEM;
        if (!little && !big && !bare) {
                b.size = n - 3;
                memcpy(b.data, p + 3, b.size);
                *ret = b;
                return 1;
        }
        for (size_t i = bare ? 0 : 2; i + 1 < n; i += 2) {
                uint8_t low = p[i + (big ? 1 : 0)], high = p[i + (big ? 0 : 1)];

                if (high != 0 || low >= 0x80) {
                        free(b.data);
                        return 0;
                }
                b.data[b.size++] = low;
        }
        *ret = b;
        return 1;
}

/* What may stand between the bytes of a list in a program's source. */
static bool is_separator(uint8_t c) {
        return is_blank(c) || c == ',' || c == ';' || c == '"' || c == '\'';
}

/* 0x12, 0x34 in braces or bare, or \x12\x34: each byte has its prefix. What a program's source has around the braces is not read. */
static int undo_list(const uint8_t *p, size_t n, Buffer *ret) {
        const uint8_t *open = memchr(p, '{', n),
                      *close = open ? memchr(open, '}', n - (size_t) (open - p)) : NULL;
        _cleanup_free_ uint8_t *out = malloc(n / 3 + 1);
        size_t size = 0;

        if (!out)
                return -ENOMEM;
        if (open && close && !memchr(open + 1, '{', n - (size_t) (open + 1 - p))) {
                n = (size_t) (close - open - 1);
                p = open + 1;
        }
        for (size_t i = 0; i < n;) {
                if (is_separator(p[i])) {
                        i++;
                        continue;
                }
                if (n - i < 3 || (p[i] != '0' && p[i] != '\\') || (p[i + 1] | 0x20) != 'x' ||
                                hex_digit(p[i + 2]) < 0)
                        return 0;
                out[size] = (uint8_t) hex_digit(p[i + 2]);
                i += 3;
                if (i < n && hex_digit(p[i]) >= 0)
                        out[size] = (uint8_t) (out[size] << 4 | hex_digit(p[i++]));
                if (i < n && hex_digit(p[i]) >= 0)
                        return 0; /* not single bytes */
                size++;
        }
        if (size < TEXT_SIZE_MIN / 2)
                return 0;
        *ret = (Buffer) { TAKE_PTR(out), size };
        return 1;
}

static int undo_hex(const uint8_t *p, size_t n, Buffer *ret) {
        _cleanup_free_ uint8_t *out = malloc(n / 2 + 1);
        size_t size = 0, digits = 0;
        int high = -1;

        if (!out)
                return -ENOMEM;
        while (n > 0 && is_blank(*p))
                p++, n--;
        if (begins_with(p, n, "0x") || begins_with(p, n, "0X"))
                p += 2, n -= 2;
        for (size_t i = 0; i < n; i++) {
                int d = hex_digit(p[i]);

                if (is_blank(p[i]) || p[i] == ':')
                        continue;
                if (d < 0)
                        return 0;
                digits++;
                if (high < 0)
                        high = d;
                else {
                        out[size++] = (uint8_t) (high << 4 | d);
                        high = -1;
                }
        }
        if (digits < TEXT_SIZE_MIN || high >= 0)
                return 0;
        *ret = (Buffer) { TAKE_PTR(out), size };
        return 1;
}

static int undo_base64(const uint8_t *p, size_t n, Buffer *ret) {
        _cleanup_free_ char *packed = malloc(n + 4);
        bool hex = true; /* an odd number of digits, which undo_hex() left */
        size_t k = 0;
        int r;

        if (!packed)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                char c = (char) p[i];

                if (is_blank(p[i]))
                        continue;
                if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9') &&
                                !strchr("+/-_=", c))
                        return 0;
                hex = hex && hex_digit(p[i]) >= 0;
                packed[k++] = c == '-' ? '+' : c == '_' ? '/' : c;
        }
        if (k < TEXT_SIZE_MIN || hex)
                return 0;
        while (k % 4 != 0) /* at most n + 3; a single digit left over is refused by the decoder */
                packed[k++] = '=';
        r = base64_decode(packed, k, &ret->data, &ret->size);
        return r == -ENOMEM ? r : r == 0;
}

/* data:TYPE;base64,... (RFC 2397) */
static int undo_data_url(const uint8_t *p, size_t n, Buffer *ret) {
        static const char mark[] = ";base64,";
        const uint8_t *at = begins_with(p, n, "data:") ? memmem(p, n, mark, strlen(mark)) : NULL;

        if (!at)
                return 0;
        at += strlen(mark);
        return undo_base64(at, n - (size_t) (at - p), ret);
}

/* One block between lines of dashes whose label is not one of X.509's or of keys: people armour reports in this way. */
static int undo_armour(const uint8_t *p, size_t n, Buffer *ret) {
        static const char *const known[] = { "CERTIFICATE", "KEY", "CRL", "PKCS7", "CMS", "PARAMETERS" };
        static const char dashes[] = "-----", end_mark[] = "-----END";
        const uint8_t *label = memmem(p, n, pem_mark, strlen(pem_mark)), *body, *end;

        if (!label)
                return 0;
        label += strlen(pem_mark);
        body = memmem(label, n - (size_t) (label - p), dashes, strlen(dashes));
        end = body ? memmem(body, n - (size_t) (body - p), end_mark, strlen(end_mark)) : NULL;
        if (!end || holds(end, n - (size_t) (end - p), pem_mark))
                return 0;
        FOREACH_ARRAY(k, known, ELEMENTSOF(known))
                if (holds(label, (size_t) (body - label), *k))
                        return 0;
        body += strlen(dashes);
        return end > body ? undo_base64(body, (size_t) (end - body), ret) : 0;
}

static int undo_percent(const uint8_t *p, size_t n, Buffer *ret) {
        _cleanup_free_ uint8_t *out = NULL;
        size_t size = 0;

        if (!holds(p, n, pem_mark) || (!holds(p, n, "%0A") && !holds(p, n, "%0a")))
                return 0;
        out = malloc(n);
        if (!out)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                if (p[i] == '%' && n - i > 2 && hex_digit(p[i + 1]) >= 0 && hex_digit(p[i + 2]) >= 0) {
                        out[size++] = (uint8_t) (hex_digit(p[i + 1]) << 4 | hex_digit(p[i + 2]));
                        i += 2;
                } else
                        out[size++] = p[i];
        }
        *ret = (Buffer) { TAKE_PTR(out), size };
        return 1;
}

/* \n, \r, \t, \/, \" and \\ of a JSON string that holds PEM; other escapes have no place in PEM. */
static int undo_escapes(const uint8_t *p, size_t n, Buffer *ret) {
        static const char letters[] = "nrt/\"\\", values[] = "\n\r\t/\"\\";
        _cleanup_free_ uint8_t *out = NULL;
        size_t size = 0;

        if (!holds(p, n, pem_mark) || !holds(p, n, "\\n"))
                return 0;
        out = malloc(n);
        if (!out)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const char *at = p[i] == '\\' && n - i > 1 && p[i + 1] ? strchr(letters, p[i + 1]) : NULL;

                if (at) {
                        out[size++] = (uint8_t) values[at - letters];
                        i++;
                } else
                        out[size++] = p[i];
        }
        *ret = (Buffer) { TAKE_PTR(out), size };
        return 1;
}

/* "..." or '...' around base64 or hexadecimal digits, as cut out of a document or a program. */
static int undo_quotes(const uint8_t *p, size_t n, Buffer *ret) {
        while (n > 0 && (is_blank(p[n - 1]) || p[n - 1] == ',' || p[n - 1] == ';'))
                n--;
        while (n > 0 && is_blank(*p))
                p++, n--;
        if (n < 2 || (p[0] != '"' && p[0] != '\'') || p[n - 1] != p[0] || memchr(p + 1, p[0], n - 2) ||
                        memchr(p, '\\', n))
                return 0;
        ret->data = malloc(n);
        if (!ret->data)
                return -ENOMEM;
        memcpy(ret->data, p + 1, n - 2);
        ret->size = n - 2;
        return 1;
}

static const struct {
        const char *name;
        int (*undo)(const uint8_t *p, size_t n, Buffer *ret);
} layers[] = {
        { "UTF-16 text or text with a byte order mark", undo_unicode },
        { "percent-encoded text", undo_percent },
        { "JSON-escaped text", undo_escapes },
        { "a JSON string", undo_quotes },
        { "a data: URL", undo_data_url },
        { "base64 text between BEGIN and END", undo_armour },
        { "a list of hexadecimal numbers", undo_list },
        { "hexadecimal text", undo_hex },
        { "base64 text", undo_base64 },
};

static int undo_one(const uint8_t *p, size_t n, Buffer *ret, const char **ret_name) {
        if (!begins_with(p, n, "\xff\xfe") && !begins_with(p, n, "\xfe\xff") && !is_bare_utf16(p, n)) {
                while (n > 0 && p[n - 1] == 0) /* a C string, or a buffer larger than its text */
                        n--;
                if (n == 0 || memchr(p, 0, n))
                        return 0;
        }
        FOREACH_ARRAY(layer, layers, ELEMENTSOF(layers)) {
                int r;

                if (layer->undo != undo_list && evidence_is_json(p, n))
                        continue;
                /* Plain PEM is base64 with something around it. */
                if ((layer->undo == undo_hex || layer->undo == undo_base64) && holds(p, n, pem_mark))
                        continue;
                *ret = (Buffer) {};
                r = layer->undo(p, n, ret);
                if (r != 0) {
                        *ret_name = layer->name;
                        return r;
                }
        }
        return 0;
}

int evidence_decode(const void *p, size_t n, uint8_t **ret, size_t *ret_size, char **ret_note) {
        _cleanup_(text_done) Text note = {};
        _cleanup_free_ uint8_t *have = NULL;
        const uint8_t *now = p;
        unsigned done = 0;
        int r;

        for (; done < EVIDENCE_LAYERS_MAX; done++) {
                const char *name = NULL;
                Buffer b = {};

                r = undo_one(now, n, &b, &name);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
                text_putf(&note, "%s%s", done > 0 ? " of " : "", name);
                free(have);
                have = b.data ?: calloc(1, 1);
                now = have;
                n = b.size;
                if (!have)
                        return -ENOMEM;
        }
        if (done == 0)
                return 0;
        r = text_finish(&note, ret_note);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(have);
        *ret_size = n;
        return 1;
}
