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
#include "encode.h"
#include "error.h"
#include "strutil.h"

DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_PKEY *, EVP_PKEY_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_MD_CTX *, EVP_MD_CTX_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(OSSL_DECODER_CTX *, OSSL_DECODER_CTX_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(ECDSA_SIG *, ECDSA_SIG_free);

#define NUMBER 48u /* bytes of r and of s on P-384 */

bool dsse_is_envelope(const Json *j) {
        return js_is_object(j) && js_get(j, "payload") && js_get(j, "signatures");
}

static int load_key(const void *key, size_t size, EVP_PKEY **ret, char **reterr) {
        _cleanup_(OSSL_DECODER_CTX_freep) OSSL_DECODER_CTX *c = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        const unsigned char *p = key;
        char group[32] = "";

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
        if (EVP_PKEY_is_a(pkey, "EC"))
                (void) EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL);
        if (!EVP_PKEY_is_a(pkey, "ED25519") && !streq(group, "secp384r1") && !streq(group, "P-384"))
                return error_set(reterr, -EBADMSG, "the key is neither Ed25519 nor on P-384");
        *ret = TAKE_PTR(pkey);
        return 0;
}

/* 1 good, 0 not. */
static int check(EVP_PKEY *key, const void *p, size_t n, const uint8_t *sig, size_t sig_size) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();
        _cleanup_(ECDSA_SIG_freep) ECDSA_SIG *es = NULL;
        bool ec = EVP_PKEY_is_a(key, "EC");
        uint8_t der[128], *d = der;

        if (!c)
                return -ENOMEM;
        if (ec && sig_size == 2 * NUMBER) {
                BIGNUM *r = BN_bin2bn(sig, NUMBER, NULL), *s = BN_bin2bn(sig + NUMBER, NUMBER, NULL);
                int k;

                es = ECDSA_SIG_new();
                if (!es || !r || !s || !ECDSA_SIG_set0(es, r, s)) {
                        BN_free(r);
                        BN_free(s);
                        return -ENOMEM;
                }
                k = i2d_ECDSA_SIG(es, &d);
                if (k <= 0)
                        return -EIO;
                sig = der;
                sig_size = (size_t) k;
        }
        if (EVP_DigestVerifyInit_ex(c, NULL, ec ? "SHA2-384" : NULL, NULL, NULL, key, NULL) != 1)
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
