/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-pem.h"

#include <errno.h>

#include "encode.h"
#include "strutil.h"

static const char begin_mark[] = "-----BEGIN ", end_mark[] = "-----END ", dashes[] = "-----";

#define LEN(s) (sizeof(s) - 1)

bool pem_detect(const void *data, size_t size) {
        return memmem(data, size, begin_mark, LEN(begin_mark)) && ((const uint8_t *) data)[0] != 0x30;
}

/* Base64 with line breaks: the breaks go, everything else stays for the strict decoder to judge. */
static int decode_lines(const char *p, size_t n, uint8_t **ret, size_t *ret_size) {
        _cleanup_free_ char *packed = malloc(n + 1);
        size_t k = 0;

        if (!packed)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (p[i] != '\n' && p[i] != '\r' && p[i] != ' ' && p[i] != '\t')
                        packed[k++] = p[i];
        return base64_decode(packed, k, ret, ret_size);
}

int pem_next(const char *text, size_t size, size_t *pos, const char **ret_label, size_t *ret_label_size,
                uint8_t **ret, size_t *ret_size) {
        const char *end = text + size, *p, *label, *body, *stop;
        size_t label_size;
        int r;

        p = memmem(text + *pos, size - *pos, begin_mark, LEN(begin_mark));
        if (!p)
                return 0;
        label = p + LEN(begin_mark);
        body = memmem(label, (size_t) (end - label), dashes, LEN(dashes));
        if (!body || memchr(label, '\n', (size_t) (body - label)))
                return -EBADMSG;
        label_size = (size_t) (body - label);
        body += LEN(dashes);
        stop = memmem(body, (size_t) (end - body), end_mark, LEN(end_mark));
        if (!stop || (size_t) (end - stop) < LEN(end_mark) + label_size + LEN(dashes) ||
                        memcmp(stop + LEN(end_mark), label, label_size) != 0 ||
                        memcmp(stop + LEN(end_mark) + label_size, dashes, LEN(dashes)) != 0)
                return -EBADMSG;

        r = decode_lines(body, (size_t) (stop - body), ret, ret_size);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        *pos = (size_t) (stop - text) + LEN(end_mark) + label_size + LEN(dashes);
        *ret_label = label;
        *ret_label_size = label_size;
        return 1;
}

char *pem_encode(const char *label, const void *data, size_t size) {
        _cleanup_free_ char *b = base64_encode(data, size);
        _cleanup_(text_done) Text t = {};
        char *s = NULL;

        if (!b)
                return NULL;
        text_putf(&t, "%s%s%s\n", begin_mark, label, dashes);
        for (size_t n = strlen(b), i = 0; i < n; i += 64) {
                text_put_n(&t, b + i, MIN((size_t) 64, n - i));
                text_put(&t, "\n");
        }
        text_putf(&t, "%s%s%s\n", end_mark, label, dashes);
        return text_finish(&t, &s) < 0 ? NULL : s;
}
