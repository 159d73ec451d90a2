/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-dsse.h"

#include <errno.h>
#include <openssl/decoder.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "crypto-init.h"
#include "crypto-pem.h"
#include "crypto-sign-internal.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"

DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_PKEY *, EVP_PKEY_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_MD_CTX *, EVP_MD_CTX_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(OSSL_DECODER_CTX *, OSSL_DECODER_CTX_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(ECDSA_SIG *, ECDSA_SIG_free);

bool dsse_is_envelope(const Json *j) {
        return js_is_object(j) && js_get(j, "payload") && js_get(j, "signatures");
}

static int load_key(const void *key, size_t size, EVP_PKEY **ret, char **reterr) {
        _cleanup_(OSSL_DECODER_CTX_freep) OSSL_DECODER_CTX *c = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        const unsigned char *p = key;

        if (crypto_init() < 0)
                return -ENOMEM;
        c = OSSL_DECODER_CTX_new_for_pkey(&pkey, size > 0 && pem_detect(key, size) ? "PEM" : "DER", NULL,
                        NULL, EVP_PKEY_PUBLIC_KEY, NULL, NULL);
        if (!c)
                return -ENOMEM;
        if (OSSL_DECODER_from_data(c, &p, &size) != 1 || !pkey) {
                ERR_clear_error();
                return error_set(reterr, -EBADMSG, "not a public key in PEM or DER");
        }
        if (!sign_digest(pkey))
                return error_set(reterr, -EBADMSG, "the key is neither Ed25519 nor on P-256 or P-384");
        *ret = TAKE_PTR(pkey);
        return 0;
}

/* r and s as they are, in DER: ES256 and ES384 of JOSE are written so. */
static int raw_to_der(const uint8_t *sig, size_t n, uint8_t ret[static 128]) {
        BIGNUM *r = BN_bin2bn(sig, (int) n, NULL), *s = BN_bin2bn(sig + n, (int) n, NULL);
        _cleanup_(ECDSA_SIG_freep) ECDSA_SIG *es = ECDSA_SIG_new();
        int k;

        if (!es || !r || !s || !ECDSA_SIG_set0(es, r, s)) {
                BN_free(r);
                BN_free(s);
                return -ENOMEM;
        }
        k = i2d_ECDSA_SIG(es, &ret);
        return k > 0 ? k : -EIO;
}

/* 1 good, 0 not. */
static int check(EVP_PKEY *key, const void *p, size_t n, const uint8_t *sig, size_t sig_size) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();
        size_t number = ((size_t) EVP_PKEY_get_bits(key) + 7) / 8;
        const char *digest = sign_digest(key);
        uint8_t der[128];

        if (!c)
                return -ENOMEM;
        if (digest[0] && sig_size == 2 * number) {
                int k = raw_to_der(sig, number, der);

                if (k < 0)
                        return k;
                sig = der;
                sig_size = (size_t) k;
        }
        if (EVP_DigestVerifyInit_ex(c, NULL, digest[0] ? digest : NULL, NULL, NULL, key, NULL) != 1)
                return -EIO;
        if (EVP_DigestVerify(c, sig, sig_size, p, n) == 1)
                return 1;
        ERR_clear_error();
        return 0;
}

int dsse_preauth(const char *type, const void *payload, size_t size, char **ret, size_t *ret_size) {
        _cleanup_(text_done) Text t = {};

        text_putf(&t, "DSSEv1 %zu %s %zu ", strlen(type), type, size);
        text_put_n(&t, payload, size);
        if (t.error < 0)
                return t.error;
        *ret_size = t.size;
        return text_finish(&t, ret);
}

int dsse_open(const Json *envelope, const void *key, size_t key_size, uint8_t **ret, size_t *ret_size,
                char **reterr) {
        const char *type = js_string_value(js_get(envelope, "payloadType"));
        const char *payload = js_string_value(js_get(envelope, "payload"));
        const Json *signatures = js_get(envelope, "signatures");
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        _cleanup_free_ uint8_t *body = NULL;
        _cleanup_free_ char *pae = NULL;
        size_t size, pae_size;
        int r;

        if (!type || !payload || !js_is_array(signatures) || js_length(signatures) > DSSE_SIGNATURES_MAX ||
                        base64_decode(payload, strlen(payload), &body, &size) < 0)
                return error_set(reterr, -EBADMSG, "not a DSSE envelope");
        r = load_key(key, key_size, &pkey, reterr);
        if (r < 0)
                return r;

        r = dsse_preauth(type, body, size, &pae, &pae_size);
        if (r < 0)
                return r;

        for (size_t i = 0; i < js_length(signatures); i++) {
                const char *s = js_string_value(js_get(js_at(signatures, i), "sig"));
                _cleanup_free_ uint8_t *sig = NULL;
                size_t sig_size;

                if (!s || base64_decode(s, strlen(s), &sig, &sig_size) < 0)
                        return error_set(reterr, -EBADMSG, "signature %zu is not base64", i);
                r = check(pkey, pae, pae_size, sig, sig_size);
                if (r < 0)
                        return r;
                if (r > 0) {
                        *ret = TAKE_PTR(body);
                        *ret_size = size;
                        return 0;
                }
        }
        return error_set(reterr, -EKEYREJECTED, "none of the %zu signatures was made by this key",
                        js_length(signatures));
}

/* --- envelopes as text ----------------------------------------------------------------------------------------------- */

void dsse_envelope_done(DsseEnvelope *e) {
        FOREACH_ARRAY(s, e->signatures, e->n_signatures) {
                free(s->key_id);
                free(s->bytes);
        }
        free(e->signatures);
        free(e->type);
        free(e->payload);
        *e = (DsseEnvelope) {};
}

/* The payload's text is cut out before the rest is read as JSON: base64 needs no unescaping, and is nearly all of the envelope. What is
 * not written in this way (escapes, several such members) is left, and so refused by the caller. */
static int cut_payload(const char *text, size_t size, const char **ret, size_t *ret_n, Json **ret_rest,
                char **reterr) {
        static const char name[] = "\"payload\"";
        const char *end = text + size, *p = memmem(text, size, name, strlen(name)), *close;
        _cleanup_free_ char *rest = NULL;
        size_t before;
        int r;

        p = p ? p + strlen(name) : end;
        while (p < end && strchr(" \t\r\n:", *p))
                p++;
        close = p < end && *p == '"' ? memchr(p + 1, '"', (size_t) (end - p) - 1) : NULL;
        /* One such member only: readers must not differ about which one is signed. */
        if (!close || memmem(close, (size_t) (end - close), name, strlen(name)))
                return error_set(reterr, -EBADMSG, "not a DSSE envelope");
        before = (size_t) (p + 1 - text);
        rest = malloc(size);
        if (!rest)
                return -ENOMEM;
        memcpy(rest, text, before);
        memcpy(rest + before, close, (size_t) (end - close));
        r = js_parse(rest, before + (size_t) (end - close), ret_rest, reterr);
        if (r < 0)
                return r;
        *ret = p + 1;
        *ret_n = (size_t) (close - p) - 1;
        return 0;
}

static int read_signatures(const Json *list, DsseEnvelope *e, char **reterr) {
        size_t n = js_length(list);

        if (!js_is_array(list) || n > DSSE_SIGNATURES_MAX)
                return error_set(reterr, -EBADMSG, "expected up to %u signatures", DSSE_SIGNATURES_MAX);
        e->signatures = calloc(MAX(n, (size_t) 1), sizeof(DsseSignature));
        if (!e->signatures)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const Json *sig = js_get(js_at(list, i), "sig"), *id = js_get(js_at(list, i), "keyid");
                const char *s = js_string_value(sig);
                DsseSignature *x = e->signatures + e->n_signatures++;

                if (!s || base64_decode(s, js_string_length(sig), &x->bytes, &x->size) < 0)
                        return error_set(reterr, -EBADMSG, "signature %zu is not base64", i + 1);
                if (id && !js_string_value(id))
                        return error_set(reterr, -EBADMSG, "the key id of signature %zu is not a text",
                                        i + 1);
                x->key_id = id ? strdup(js_string_value(id)) : NULL;
                if (id && !x->key_id)
                        return -ENOMEM;
        }
        return 0;
}

int dsse_parse(const char *text, size_t size, DsseEnvelope *ret, char **reterr) {
        _cleanup_(dsse_envelope_done) DsseEnvelope e = {};
        _cleanup_js_ Json *rest = NULL;
        const char *payload, *type;
        size_t n;
        int r = cut_payload(text, size, &payload, &n, &rest, reterr);

        if (r < 0)
                return r;
        type = js_string_value(js_get(rest, "payloadType"));
        if (!type || !js_get(rest, "signatures") || !js_string_value(js_get(rest, "payload")) ||
                        js_string_length(js_get(rest, "payload")) > 0)
                return error_set(reterr, -EBADMSG, "not a DSSE envelope");
        if (base64_decode(payload, n, &e.payload, &e.size) < 0)
                return error_set(reterr, -EBADMSG, "the envelope's payload is not base64");
        e.type = strdup(type);
        if (!e.type)
                return -ENOMEM;
        r = read_signatures(js_get(rest, "signatures"), &e, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(e, (DsseEnvelope) {});
        return 0;
}

/* Is this the key of an earlier entry? The same key given twice is one signer. */
static bool is_repeated(EVP_PKEY *const *keys, size_t i) {
        for (size_t k = 0; k < i; k++)
                if (EVP_PKEY_eq(keys[k], keys[i]) == 1)
                        return true;
        return false;
}

static int count_signers(const DsseEnvelope *e, EVP_PKEY *const *keys, size_t n_keys, unsigned *ret) {
        _cleanup_free_ char *pae = NULL;
        unsigned good = 0;
        size_t size;
        int r = dsse_preauth(e->type, e->payload, e->size, &pae, &size);

        for (size_t i = 0; r >= 0 && i < n_keys; i++) {
                int k = 0;

                if (is_repeated(keys, i))
                        continue;
                for (size_t s = 0; k == 0 && s < e->n_signatures; s++)
                        k = check(keys[i], pae, size, e->signatures[s].bytes, e->signatures[s].size);
                if (k < 0)
                        return k;
                good += (unsigned) k;
        }
        if (r < 0)
                return r;
        *ret = good;
        return 0;
}

int dsse_keys_distinct(DsseKey *keys, size_t *n, char **reterr) {
        EVP_PKEY *pkeys[DSSE_SIGNATURES_MAX] = {};
        size_t kept = 0;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < *n; i++) {
                r = load_key(keys[i].data, keys[i].size, pkeys + kept, reterr);
                if (r < 0) {
                        (void) error_prefix(reterr, r, "%s", keys[i].name);
                        break;
                }
                if (is_repeated(pkeys, kept))
                        EVP_PKEY_free(TAKE_PTR(pkeys[kept]));
                else
                        keys[kept++] = keys[i];
        }
        FOREACH_ARRAY(k, pkeys, kept)
                EVP_PKEY_free(*k);
        if (r >= 0)
                *n = kept;
        return r;
}

int dsse_signers(const DsseEnvelope *e, const DsseKey *keys, size_t n_keys, unsigned *ret, char **reterr) {
        EVP_PKEY *pkeys[DSSE_SIGNATURES_MAX] = {};
        int r = 0;

        if (n_keys > DSSE_SIGNATURES_MAX)
                return error_set(reterr, -E2BIG, "more than %u keys", DSSE_SIGNATURES_MAX);
        for (size_t i = 0; r >= 0 && i < n_keys; i++) {
                r = load_key(keys[i].data, keys[i].size, pkeys + i, reterr);
                if (r < 0)
                        (void) error_prefix(reterr, r, "%s", keys[i].name);
        }
        if (r >= 0)
                r = count_signers(e, pkeys, n_keys, ret);
        FOREACH_ARRAY(k, pkeys, n_keys)
                EVP_PKEY_free(*k);
        return r;
}
