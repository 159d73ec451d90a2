/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <string.h>

#include "sim-bytes.h"
#include "sim-cert.h"

enum { FIELD = 72, COORDINATE = 48 };

static bool all_zero(const uint8_t *p, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (p[i] != 0)
                        return false;
        return true;
}

static void reverse(uint8_t *to, const uint8_t *from, size_t n) {
        for (size_t i = 0; i < n; i++)
                to[i] = from[n - 1 - i];
}

/* OpenSSL refuses points that are not on the curve when the key is made. */
EVP_PKEY *ec_key_from_amd(const uint8_t key[static EC_KEY_SIZE]) {
        const uint8_t *x = key + 4, *y = x + FIELD;
        uint8_t point[1 + 2 * COORDINATE] = { 0x04 };
        char group[] = "P-384";
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
                OSSL_PARAM_construct_end(),
        };
        EVP_PKEY *pkey = NULL;
        EVP_PKEY_CTX *ctx;

        if (get_le32(key) != EC_CURVE_P384 || !all_zero(x + COORDINATE, FIELD - COORDINATE) ||
                        !all_zero(y + COORDINATE, EC_KEY_SIZE - 4 - FIELD - COORDINATE))
                return NULL;

        reverse(point + 1, x, COORDINATE);
        reverse(point + 1 + COORDINATE, y, COORDINATE);

        ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
        if (!ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
                        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
                pkey = NULL;
        EVP_PKEY_CTX_free(ctx);
        return pkey;
}

int ec_key_to_amd(EVP_PKEY *key, uint8_t ret[static EC_KEY_SIZE]) {
        uint8_t point[1 + 2 * COORDINATE];
        size_t n = 0;

        if (!EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n) ||
                        n != sizeof(point) || point[0] != 0x04)
                return -EINVAL;

        memset(ret, 0, EC_KEY_SIZE);
        put_le32(ret, EC_CURVE_P384);
        reverse(ret + 4, point + 1, COORDINATE);
        reverse(ret + 4 + FIELD, point + 1 + COORDINATE, COORDINATE);
        return 0;
}

bool ec_sig_verify(EVP_PKEY *key, const EVP_MD *md, const void *data, size_t size,
                const uint8_t sig[static EC_SIG_SIZE]) {
        ECDSA_SIG *ecdsa = ECDSA_SIG_new();
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        BIGNUM *r = BN_lebin2bn(sig, FIELD, NULL), *s = BN_lebin2bn(sig + FIELD, FIELD, NULL);
        uint8_t *der = NULL;
        bool ok = false;
        int n;

        if (!ecdsa || !ctx || !r || !s || !ECDSA_SIG_set0(ecdsa, r, s))
                goto finish;
        r = s = NULL; /* now owned by ecdsa */

        n = i2d_ECDSA_SIG(ecdsa, &der);
        ok = n > 0 && EVP_DigestVerifyInit(ctx, NULL, md, NULL, key) == 1 &&
                        EVP_DigestVerify(ctx, der, (size_t) n, data, size) == 1;
finish:
        OPENSSL_free(der);
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(ecdsa);
        EVP_MD_CTX_free(ctx);
        return ok;
}

int ec_sig_make(EVP_PKEY *key, const EVP_MD *md, const void *data, size_t size,
                uint8_t ret[static EC_SIG_SIZE]) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        ECDSA_SIG *ecdsa = NULL;
        uint8_t der[128];
        const uint8_t *p = der;
        size_t n = sizeof(der);
        int r = -EIO;

        memset(ret, 0, EC_SIG_SIZE);
        if (ctx && EVP_DigestSignInit(ctx, NULL, md, NULL, key) == 1 &&
                        EVP_DigestSign(ctx, der, &n, data, size) == 1 &&
                        (ecdsa = d2i_ECDSA_SIG(NULL, &p, (long) n)) &&
                        BN_bn2lebinpad(ECDSA_SIG_get0_r(ecdsa), ret, FIELD) == FIELD &&
                        BN_bn2lebinpad(ECDSA_SIG_get0_s(ecdsa), ret + FIELD, FIELD) == FIELD)
                r = 0;
        ECDSA_SIG_free(ecdsa);
        EVP_MD_CTX_free(ctx);
        return r;
}
