/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-ec.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <string.h>

#include "crypto-ec-internal.h"
#include "crypto-init.h"

#define P384_NAME           "P-384"
#define POINT_SIZE          (1 + 2 * P384_SIZE) /* uncompressed: 0x04, x, y */
#define SIGNATURE_DER_MAX   128                 /* 2 integers of 48 bytes, their headers and signs: 104 */
#define SCALAR_ATTEMPTS_MAX 64                  /* a random number lies above the order once in 2^190 */

DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_PKEY *, EVP_PKEY_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_PKEY_CTX *, EVP_PKEY_CTX_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(OSSL_PARAM_BLD *, OSSL_PARAM_BLD_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(OSSL_PARAM *, OSSL_PARAM_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(BIGNUM *, BN_clear_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(EC_GROUP *, EC_GROUP_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(EC_POINT *, EC_POINT_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(ECDSA_SIG *, ECDSA_SIG_free);

EcKey *ec_key_free(EcKey *k) {
        if (!k)
                return NULL;
        EVP_PKEY_free(k->pkey);
        EVP_PKEY_free(k->public_part);
        OSSL_LIB_CTX_free(k->library);
        free(k);
        return NULL;
}

/* Imports a public point and, if d is not NULL, the private number. OpenSSL refuses points that are not on the curve. */
static int import_key(const uint8_t point[static POINT_SIZE], const BIGNUM *d, EcKey **ret) {
        _cleanup_(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
        _cleanup_(OSSL_PARAM_freep) OSSL_PARAM *params = NULL;
        _cleanup_ec_key_ EcKey *k = calloc(1, sizeof(EcKey));

        if (crypto_init() < 0)
                return -ENOMEM;
        ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
        if (!build || !ctx || !k)
                return -ENOMEM;
        if (!OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, P384_NAME, 0) ||
                        !OSSL_PARAM_BLD_push_octet_string(
                                        build, OSSL_PKEY_PARAM_PUB_KEY, point, POINT_SIZE) ||
                        (d && !OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, d)))
                return -ENOMEM;
        params = OSSL_PARAM_BLD_to_param(build);
        if (!params)
                return -ENOMEM;
        ERR_clear_error();
        if (EVP_PKEY_fromdata_init(ctx) <= 0)
                return -EIO;
        if (EVP_PKEY_fromdata(ctx, &pkey, d ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) <= 0)
                return crypto_failure(-EBADMSG);

        k->pkey = TAKE_PTR(pkey);
        *ret = TAKE_PTR(k);
        return 0;
}

int ec_key_from_point(const EcPoint *p, EcKey **ret) {
        uint8_t point[POINT_SIZE] = { POINT_CONVERSION_UNCOMPRESSED };

        memcpy(point + 1, p->x, P384_SIZE);
        memcpy(point + 1 + P384_SIZE, p->y, P384_SIZE);
        return import_key(point, NULL, ret);
}

int ec_key_from_scalar(const uint8_t d[static P384_SIZE], EcKey **ret) {
        _cleanup_(EC_GROUP_freep) EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_secp384r1);
        _cleanup_(EC_POINT_freep) EC_POINT *q = group ? EC_POINT_new(group) : NULL;
        _cleanup_(BN_clear_freep) BIGNUM *n = BN_secure_new();
        uint8_t point[POINT_SIZE];

        if (!q || !n || !BN_bin2bn(d, P384_SIZE, n))
                return -ENOMEM;
        BN_set_flags(n, BN_FLG_CONSTTIME);
        if (BN_is_zero(n) || BN_cmp(n, EC_GROUP_get0_order(group)) >= 0)
                return -EBADMSG;
        if (!EC_POINT_mul(group, q, n, NULL, NULL, NULL) ||
                        EC_POINT_point2oct(group, q, POINT_CONVERSION_UNCOMPRESSED, point, sizeof(point),
                                        NULL) != sizeof(point))
                return -EIO;
        return import_key(point, n, ret);
}

int ec_key_generate(RandomFunction random, void *userdata, EcKey **ret) {
        uint8_t d[P384_SIZE];
        int r = -EBADMSG;

        for (unsigned i = 0; i < SCALAR_ATTEMPTS_MAX && r == -EBADMSG; i++) {
                r = random(userdata, d, sizeof(d));
                if (r >= 0)
                        r = ec_key_from_scalar(d, ret);
        }
        erase_memory(d, sizeof(d));
        return r == -EBADMSG ? -EIO : r;
}

/* Keys whose file holds a compressed point come out compressed. */
static int decompress(uint8_t point[static POINT_SIZE], size_t n) {
        _cleanup_(EC_GROUP_freep) EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_secp384r1);
        _cleanup_(EC_POINT_freep) EC_POINT *q = group ? EC_POINT_new(group) : NULL;

        if (!q)
                return -ENOMEM;
        if (!EC_POINT_oct2point(group, q, point, n, NULL) ||
                        EC_POINT_point2oct(group, q, POINT_CONVERSION_UNCOMPRESSED, point, POINT_SIZE,
                                        NULL) != POINT_SIZE) {
                ERR_clear_error();
                return -EBADMSG;
        }
        return 0;
}

int ec_key_point(const EcKey *k, EcPoint *ret) {
        uint8_t point[POINT_SIZE];
        size_t n = 0;
        int r;

        if (!EVP_PKEY_get_octet_string_param(
                            k->public_part ?: k->pkey, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &n)) {
                ERR_clear_error();
                return -ENOKEY;
        }
        if (n != sizeof(point) || point[0] != POINT_CONVERSION_UNCOMPRESSED) {
                r = decompress(point, n);
                if (r < 0)
                        return r;
        }
        memcpy(ret->x, point + 1, P384_SIZE);
        memcpy(ret->y, point + 1 + P384_SIZE, P384_SIZE);
        return 0;
}

int ec_key_derive(const EcKey *own, const EcKey *peer, SecretBuf *ret) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(own->pkey, NULL);
        _cleanup_(secret_buf_done) SecretBuf z = {};
        size_t n = P384_SIZE;
        int r;

        if (!ctx)
                return -ENOMEM;
        r = secret_buf_alloc(&z, P384_SIZE);
        if (r < 0)
                return r;
        /* That the peer's point is on the curve was checked when it was imported; of a curve with cofactor 1 that makes it a good one (NIST SP
         * 800-56A, 5.6.2.3.4). Checking its order as well would cost as much as the derivation. */
        if (EVP_PKEY_derive_init(ctx) <= 0 || EVP_PKEY_derive_set_peer_ex(ctx, peer->pkey, 0) <= 0 ||
                        EVP_PKEY_derive(ctx, z.data, &n) <= 0 || n != P384_SIZE)
                return -EIO;
        *ret = TAKE_STRUCT(z, (SecretBuf) {});
        return 0;
}

int ecdsa_verify(EVP_PKEY_CTX *ctx, const uint8_t *r, const uint8_t *s, size_t size, const uint8_t *digest,
                size_t digest_size) {
        _cleanup_(ECDSA_SIG_freep) ECDSA_SIG *es = ECDSA_SIG_new();
        BIGNUM *number_r = BN_bin2bn(r, (int) size, NULL), *number_s = BN_bin2bn(s, (int) size, NULL);
        uint8_t der[SIGNATURE_DER_MAX], *p = der;
        int n, q;

        if (!es || !number_r || !number_s || !ECDSA_SIG_set0(es, number_r, number_s)) {
                BN_free(number_r);
                BN_free(number_s);
                return -ENOMEM;
        }
        if (!ctx)
                return -ENOMEM;
        n = i2d_ECDSA_SIG(es, NULL);
        if (n <= 0 || (size_t) n > sizeof(der))
                return -EIO;
        n = i2d_ECDSA_SIG(es, &p);
        ERR_clear_error(); /* what is there then is about this signature */
        if (EVP_PKEY_verify_init(ctx) <= 0)
                return -EIO;
        q = EVP_PKEY_verify(ctx, der, (size_t) n, digest, digest_size);
        return q == 1 ? 0 : q == 0 ? crypto_rejected(-EKEYREJECTED) : crypto_failure(-EKEYREJECTED);
}

int ec_key_verify(
                const EcKey *k, HashAlgorithm hash, const void *data, size_t size, const EcSignature *sig) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx =
                        EVP_PKEY_CTX_new_from_pkey(k->library, k->pkey, NULL);
        uint8_t digest[HASH_SIZE_MAX];
        int r = hash_digest(hash, data, size, digest);

        return r < 0 ? r : ecdsa_verify(ctx, sig->r, sig->s, P384_SIZE, digest, hash_size(hash));
}

int ec_key_sign(const EcKey *k, HashAlgorithm hash, const void *data, size_t size, EcSignature *ret) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx =
                        EVP_PKEY_CTX_new_from_pkey(k->library, k->pkey, NULL);
        _cleanup_(ECDSA_SIG_freep) ECDSA_SIG *es = NULL;
        uint8_t digest[HASH_SIZE_MAX], der[SIGNATURE_DER_MAX];
        const uint8_t *p = der;
        size_t n = sizeof(der);
        int r;

        if (!ctx)
                return -ENOMEM;
        r = hash_digest(hash, data, size, digest);
        if (r < 0)
                return r;
        if (EVP_PKEY_sign_init(ctx) <= 0 || EVP_PKEY_sign(ctx, der, &n, digest, hash_size(hash)) <= 0)
                return -EIO;
        es = d2i_ECDSA_SIG(NULL, &p, (long) n);
        if (!es || BN_bn2binpad(ECDSA_SIG_get0_r(es), ret->r, P384_SIZE) < 0 ||
                        BN_bn2binpad(ECDSA_SIG_get0_s(es), ret->s, P384_SIZE) < 0)
                return -EIO;
        return 0;
}
