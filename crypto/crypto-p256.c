/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-p256.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

#include "crypto-der.h"
#include "crypto-ec-internal.h"
#include "crypto-hash.h"
#include "crypto-init.h"

struct P256Key {
        EVP_PKEY *pkey; /* owned */
};

DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_PKEY_CTX *, EVP_PKEY_CTX_free);

P256Key *p256_key_free(P256Key *k) {
        if (!k)
                return NULL;
        EVP_PKEY_free(k->pkey);
        free(k);
        return NULL;
}

/* A key without a point. Copying it and setting the point takes a quarter of the time of importing a whole key. Never freed. */
static EVP_PKEY *curve;

static void make_curve(void) {
        char group[] = "P-256";
        OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
                OSSL_PARAM_construct_end(),
        };
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);

        if (!ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
                        EVP_PKEY_fromdata(ctx, &curve, EVP_PKEY_KEY_PARAMETERS, params) <= 0)
                curve = NULL;
}

int p256_key_new(const uint8_t p[static P256_POINT_SIZE], P256Key **ret) {
        static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
        uint8_t point[1 + P256_POINT_SIZE] = { 4 /* uncompressed */ };
        _cleanup_p256_key_ P256Key *k = calloc(1, sizeof(P256Key));

        if (!k || crypto_init() < 0 || CRYPTO_THREAD_run_once(&once, make_curve) != 1 || !curve)
                return -ENOMEM;
        k->pkey = EVP_PKEY_dup(curve);
        if (!k->pkey)
                return -ENOMEM;
        memcpy(point + 1, p, P256_POINT_SIZE);
        ERR_clear_error();
        /* OpenSSL refuses points that are not on the curve. */
        if (EVP_PKEY_set1_encoded_public_key(k->pkey, point, sizeof(point)) <= 0)
                return crypto_failure(-EBADMSG);
        *ret = TAKE_PTR(k);
        return 0;
}

int p256_key_verify(const P256Key *k, const void *data, size_t size,
                const uint8_t signature[static P256_POINT_SIZE]) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
        uint8_t digest[SHA256_SIZE];
        int r = hash_digest(HASH_SHA256, data, size, digest);

        return r < 0 ? r
                     : ecdsa_verify(ctx, signature, signature + P256_SIZE, P256_SIZE, digest,
                                       sizeof(digest));
}

/* A number as 32 bytes. */
static int read_half(ByteReader *r, uint8_t ret[static P256_SIZE]) {
        const uint8_t *p;
        DerValue v;
        size_t n;

        if (der_expect(r, DER_INTEGER, &v) < 0 || der_unsigned(&v, &p, &n) < 0 || n > P256_SIZE)
                return -EKEYREJECTED;
        memset(ret, 0, P256_SIZE);
        memcpy(ret + P256_SIZE - n, p, n);
        return 0;
}

int p256_key_verify_der(const P256Key *k, const void *data, size_t size, const void *signature,
                size_t signature_size) {
        ByteReader r = byte_reader(signature, signature_size), inside;
        uint8_t halves[P256_POINT_SIZE];
        DerValue both;

        if (der_expect(&r, DER_SEQUENCE, &both) < 0 || byte_reader_left(&r) > 0)
                return -EKEYREJECTED;
        inside = der_inside(&both);
        if (read_half(&inside, halves) < 0 || read_half(&inside, halves + P256_SIZE) < 0 ||
                        byte_reader_left(&inside) > 0)
                return -EKEYREJECTED;
        return p256_key_verify(k, data, size, halves);
}
