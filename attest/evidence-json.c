/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* JSON around evidence: its strings, and its arrays of bytes, as programs in Rust and Python write them. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "evidence-form.h"

#define JSON_DEPTH_MAX 6u
#define ARRAY_SIZE_MIN 64u /* shorter arrays of numbers are something else */
#define ARRAY_SIZE_MAX (1024u * 1024u)

bool evidence_is_json(const void *p, size_t n) {
        const uint8_t *c = p;

        while (n > 0 && strchr(" \t\r\n", *c) && *c)
                c++, n--;
        return n > 1 && (c[0] == '{' || c[0] == '[') && !memchr(c, 0, n);
}

typedef struct Walk {
        EvidenceMember function;
        void *userdata;
        unsigned strings;
} Walk;

/* 1 and the bytes (owned) of an array of numbers from 0 to 255; 0 for another one. */
static int read_bytes(const Json *j, uint8_t **ret) {
        size_t n = js_length(j);
        _cleanup_free_ uint8_t *bytes = NULL;

        if (n < ARRAY_SIZE_MIN || n > ARRAY_SIZE_MAX)
                return 0;
        bytes = malloc(n);
        if (!bytes)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                uint64_t v;

                if (js_u64_value(js_at(j, i), &v) < 0 || v > UINT8_MAX)
                        return 0;
                bytes[i] = (uint8_t) v;
        }
        *ret = TAKE_PTR(bytes);
        return 1;
}

static int walk(Walk *w, const Json *j, const char *name, unsigned depth) {
        _cleanup_free_ uint8_t *bytes = NULL;
        const char *s = js_string_value(j);
        int r = s ? 1 : js_is_array(j) ? read_bytes(j, &bytes) : 0;

        if (r < 0)
                return r;
        if (r > 0)
                return w->strings++ >= EVIDENCE_STRINGS_MAX ? -E2BIG
                                : s
                                ? w->function(w->userdata, name, s, js_string_length(j), /* binary= */ false)
                                : w->function(w->userdata, name, bytes, js_length(j), /* binary= */ true);
        if (depth >= JSON_DEPTH_MAX)
                return 0;
        for (size_t i = 0; js_is_array(j) && i < js_length(j) && r >= 0; i++)
                r = walk(w, js_at(j, i), NULL, depth + 1);
        if (js_is_object(j))
                for (void *i = js_iter(j); i && r >= 0; i = js_iter_next(j, i))
                        r = walk(w, js_iter_value(i), js_iter_key(i), depth + 1);
        return r;
}

int evidence_each_string(const void *p, size_t n, EvidenceMember function, void *userdata, char **reterr) {
        Walk w = { .function = function, .userdata = userdata };
        _cleanup_js_ Json *j = NULL;
        int r;

        r = js_parse(p, n, &j, reterr);
        if (r < 0)
                return r;
        r = walk(&w, j, NULL, 0);
        return r == -E2BIG
                        ? error_set(reterr, -EBADMSG, "JSON with more than %u strings", EVIDENCE_STRINGS_MAX)
                        : r;
}
