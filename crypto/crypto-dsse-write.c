/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Envelopes with one more signature. */

#include <errno.h>
#include <string.h>

#include "crypto-dsse.h"
#include "crypto-sign.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"

static int add_signature(Json *list, const char *key_id, const void *p, size_t n) {
        _cleanup_js_ Json *j = js_object();
        int r = j ? 0 : -ENOMEM;

        if (r >= 0 && key_id)
                r = js_set(j, "keyid", js_string(key_id));
        if (r >= 0)
                r = js_set(j, "sig", js_base64(p, n));
        return r < 0 ? r : js_append(list, TAKE_PTR(j));
}

int dsse_with_signature(const DsseEnvelope *e, const char *key_id, const void *sig, size_t n, char **ret,
                char **reterr) {
        _cleanup_js_ Json *list = js_array(), *j = NULL;
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *text = NULL;
        int r = list ? 0 : -ENOMEM;

        if (e->n_signatures >= DSSE_SIGNATURES_MAX)
                return error_set(reterr, -E2BIG, "the bundle has %zu signatures already", e->n_signatures);
        FOREACH_ARRAY(s, e->signatures, e->n_signatures) {
                if (s->size == n && memcmp(s->bytes, sig, n) == 0)
                        return error_set(reterr, -EEXIST, "the bundle has this signature already");
                if (key_id && streq_ptr(s->key_id, key_id))
                        return error_set(reterr, -EEXIST, "this key has signed the bundle already");
                if (r >= 0)
                        r = add_signature(list, s->key_id, s->bytes, s->size);
        }
        if (r >= 0)
                r = add_signature(list, key_id, sig, n);
        if (r >= 0)
                r = js_build(&j, "{s:s, s:o, s:O}", "payloadType", e->type, "payload",
                                js_base64(e->payload, e->size), "signatures", list);
        if (r < 0)
                return r;
        text = js_text(j, JS_SHORT);
        if (!text)
                return -ENOMEM;
        text_put(&t, text);
        text_put(&t, "\n");
        return text_finish(&t, ret);
}

int dsse_sign(const DsseEnvelope *e, const SignKey *key, char **ret, char **reterr) {
        _cleanup_free_ uint8_t *signature = NULL;
        _cleanup_free_ char *pae = NULL, *hex = NULL;
        uint8_t id[32];
        size_t n, pae_size;
        int r = dsse_preauth(e->type, e->payload, e->size, &pae, &pae_size);

        if (r >= 0)
                r = sign_data(key, pae, pae_size, &signature, &n);
        if (r >= 0)
                r = sign_key_id(key, id);
        if (r < 0)
                return r;
        hex = hex_encode(id, sizeof(id));
        return hex ? dsse_with_signature(e, hex, signature, n, ret, reterr) : -ENOMEM;
}
