/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Digests are nearly all of a large bundle, and nothing in them needs unescaping: their lists are cut out of its text before the rest is read as JSON.
 * What is not written as we write it (blanks, escapes) is left to JSON. What is refused is read once more with nothing cut, so that
 * neither a verdict nor an error message depends on it. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "refs-bundle-internal.h"

static const char list_begin[] = "\"digests\":[\"";

static void refs_cut_done(RefsCut *c) {
        FOREACH_ARRAY(d, c->list, c->n)
                free(d->bytes);
        free(c->list);
        free(c->rest);
}

/* Digests of that many digits, from behind the first quote: 1 and the bracket that ends the list, or 0. */
static int count(const char *p, const char *end, size_t digits, size_t *ret_n, const char **ret_close) {
        for (size_t n = 1; (size_t) (end - p) >= digits + 3 && p[digits] == '"'; n++) {
                if (p[digits + 1] == ']') {
                        *ret_n = n;
                        *ret_close = p + digits + 1;
                        return 1;
                }
                if (p[digits + 1] != ',' || p[digits + 2] != '"')
                        return 0;
                p += digits + 3;
        }
        return 0;
}

static int cut_list(const char *p, const char *end, RefsDigests *ret, const char **ret_close) {
        const char *quote = memchr(p, '"', MIN((size_t) (end - p), 2 * (size_t) SHA384_SIZE + 1));
        size_t digits = quote ? (size_t) (quote - p) : 0;
        _cleanup_free_ uint8_t *bytes = NULL;
        RefsDigests d = { .size = digits / 2 };

        if ((digits != 2 * SHA256_SIZE && digits != 2 * SHA384_SIZE) ||
                        count(p, end, digits, &d.n, ret_close) == 0)
                return 0;
        bytes = reallocarray(NULL, d.n, d.size);
        if (!bytes)
                return -ENOMEM;
        for (size_t i = 0; i < d.n; i++) {
                char hex[2 * SHA384_SIZE + 1] = {};

                memcpy(hex, p + i * (digits + 3), digits);
                if (hex_decode_exact(hex, bytes + i * d.size, d.size) < 0)
                        return 0;
        }
        d.bytes = TAKE_PTR(bytes);
        *ret = d;
        return 1;
}

static int add_list(RefsCut *c, size_t *room, RefsDigests d) {
        if (c->n == *room) {
                RefsDigests *grown = reallocarray(c->list, *room * 2 + 16, sizeof(RefsDigests));

                if (!grown) {
                        free(d.bytes);
                        return -ENOMEM;
                }
                c->list = grown;
                *room = *room * 2 + 16;
        }
        c->list[c->n++] = d;
        return 0;
}

static void keep(RefsCut *c, const char *from, const char *to) {
        memcpy(c->rest + c->rest_size, from, (size_t) (to - from));
        c->rest_size += (size_t) (to - from);
}

/* An empty list is left where one was cut: the reader accepts no list without digests. */
static int cut(const char *text, size_t size, RefsCut *c) {
        const char *from = text, *end = text + size, *p;
        size_t room = 0;

        c->rest = malloc(MAX(size, (size_t) 1));
        if (!c->rest)
                return -ENOMEM;
        while ((p = memmem(from, (size_t) (end - from), list_begin, strlen(list_begin)))) {
                const char *first = p + strlen(list_begin), *close;
                RefsDigests d;
                int r = cut_list(first, end, &d, &close);

                if (r > 0)
                        r = add_list(c, &room, d);
                else if (r == 0)
                        close = first;
                if (r < 0)
                        return r;
                keep(c, from, close == first ? first : first - 1);
                from = close;
        }
        keep(c, from, end);
        return 0;
}

static int parse_cut(const char *text, size_t size, RefsBundle *ret) {
        _cleanup_(refs_cut_done) RefsCut c = {};
        _cleanup_free_ char *reason = NULL;
        _cleanup_(refs_bundle_done) RefsBundle b = {};
        _cleanup_js_ Json *j = NULL;
        int r = cut(text, size, &c);

        if (r >= 0 && c.n == 0)
                return -EINVAL;
        if (r >= 0)
                r = js_parse(c.rest, c.rest_size, &j, &reason);
        if (r >= 0)
                r = refs_bundle_read(j, &c, &b, &reason);
        /* As many lists were read as were cut: each stood where digests belong, and none was empty before. */
        if (r >= 0 && c.next != c.n)
                return -EINVAL;
        if (r >= 0)
                *ret = TAKE_STRUCT(b, (RefsBundle) {});
        return r;
}

int refs_bundle_parse(const char *text, size_t size, RefsBundle *ret, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        int r = parse_cut(text, size, ret);

        if (r >= 0 || r == -ENOMEM)
                return r;
        r = js_parse(text, size, &j, reterr);
        return r < 0 ? r : refs_bundle_read(j, NULL, ret, reterr);
}
