/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "td-signed.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "json.h"
#include "strutil.h"

static const char *const members[] = {
        [TD_SIGNED_TCB_INFO] = "tcbInfo",
        [TD_SIGNED_QE_IDENTITY] = "enclaveIdentity",
};
static_assert(ELEMENTSOF(members) == _TD_SIGNED_MAX, "every kind has a member");

void td_signed_done(TdSigned *s) {
        free(s->body);
        *s = (TdSigned) {};
}

int td_signed_new(TdSignedKind kind, const char *body, size_t size, const char *signature, TdSigned *ret,
                char **reterr) {
        TdSigned s = { .kind = kind, .size = size };

        for (const char *c = signature; *c; c++)
                if (isupper((unsigned char) *c))
                        return error_set(reterr, -EBADMSG, "the signature is not in lower-case hex");
        if (hex_decode_exact(signature, s.signature, sizeof(s.signature)) < 0)
                return error_set(reterr, -EBADMSG, "expected a signature of 64 bytes in hex");
        s.body = malloc(size + 1);
        if (!s.body)
                return -ENOMEM;
        memcpy(s.body, body, size);
        s.body[size] = 0;
        *ret = s;
        return 0;
}

/* --- the extent of a member ---------------------------------------------------------------------------------------------- */

/* A cursor over text that js_parse() accepts: only how far values reach is of interest here. */
typedef struct Scan {
        const char *p, *end;
} Scan;

static void skip_blanks(Scan *s) {
        while (s->p < s->end && strchr(" \t\r\n", *s->p) && *s->p)
                s->p++;
}

static bool skip_char(Scan *s, char c) {
        skip_blanks(s);
        if (s->p == s->end || *s->p != c)
                return false;
        s->p++;
        return true;
}

static bool skip_string(Scan *s) {
        if (!skip_char(s, '"'))
                return false;
        while (s->p < s->end && *s->p != '"')
                s->p += *s->p == '\\' && s->end - s->p > 1 ? 2 : 1;
        return skip_char(s, '"');
}

/* An object: to its last brace. Strings may hold braces. */
static bool skip_object(Scan *s) {
        size_t depth = 0;

        do {
                skip_blanks(s);
                if (s->p == s->end)
                        return false;
                if (*s->p == '"') {
                        if (!skip_string(s))
                                return false;
                        continue;
                }
                if (*s->p == '{')
                        depth++;
                if (*s->p == '}' && depth > 0)
                        depth--;
                s->p++;
        } while (depth > 0);
        return true;
}

/* Both members, in either order: 1 with the extent of the object named `name`. */
static int find_object(const char *text, size_t size, const char *name, const char **ret, size_t *ret_size) {
        Scan s = { text, text + size };
        size_t n = strlen(name);

        if (!skip_char(&s, '{'))
                return -EBADMSG;
        do {
                const char *key, *value;
                bool wanted;

                skip_blanks(&s);
                key = s.p;
                if (!skip_string(&s))
                        return -EBADMSG;
                wanted = (size_t) (s.p - key) == n + 2 && memcmp(key + 1, name, n) == 0;
                if (!skip_char(&s, ':'))
                        return -EBADMSG;
                skip_blanks(&s);
                value = s.p;
                if (wanted ? !skip_object(&s) : !skip_string(&s))
                        return -EBADMSG;
                if (wanted) {
                        *ret = value;
                        *ret_size = (size_t) (s.p - value);
                        return 1;
                }
        } while (skip_char(&s, ','));
        return -EBADMSG;
}

int td_signed_read(const char *text, size_t size, TdSigned *ret, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        const char *body, *signature;
        size_t body_size;
        int r = js_parse(text, size, &j, reterr), kind = 0;

        if (r < 0)
                return r;
        while (kind < _TD_SIGNED_MAX && !(js_is_object(j) && js_get(j, members[kind])))
                kind++;
        if (kind == _TD_SIGNED_MAX)
                return 0;
        signature = js_string_value(js_get(j, "signature"));
        for (void *i = js_iter(j); i; i = js_iter_next(j, i))
                if (!streq(js_iter_key(i), members[kind]) && !streq(js_iter_key(i), "signature"))
                        return error_set(reterr, -EBADMSG, "unknown member '%.40s' beside '%s'",
                                        js_iter_key(i), members[kind]);
        if (!signature || !js_is_object(js_get(j, members[kind])) ||
                        find_object(text, size, members[kind], &body, &body_size) < 0)
                return error_set(reterr, -EBADMSG,
                                "expected the members '%s', an object, and 'signature', a text",
                                members[kind]);
        r = td_signed_new((TdSignedKind) kind, body, body_size, signature, ret, reterr);
        return r < 0 ? r : 1;
}
