/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-rsa.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "crypto-init.h"

#define RSA_BITS_MIN          2048
#define RSA_BITS_MAX          4096
#define RSA_EXPONENT_BITS_MAX 64 /* OpenSSL's own limit for large moduli; all AMD keys use 65537 */

struct RsaKey {
        EVP_PKEY *pkey; /* owned */
};

DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_PKEY_CTX *, EVP_PKEY_CTX_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_MD_CTX *, EVP_MD_CTX_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(OSSL_PARAM_BLD *, OSSL_PARAM_BLD_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(OSSL_PARAM *, OSSL_PARAM_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(BIGNUM *, BN_free);

RsaKey *rsa_key_free(RsaKey *k) {
        if (!k)
                return NULL;
        EVP_PKEY_free(k->pkey);
        free(k);
        return NULL;
}

int rsa_key_new(const void *modulus, size_t modulus_size, const void *exponent, size_t exponent_size,
                RsaKey **ret) {
        _cleanup_(BN_freep) BIGNUM *n = BN_bin2bn(modulus, (int) modulus_size, NULL);
        _cleanup_(BN_freep) BIGNUM *e = BN_bin2bn(exponent, (int) exponent_size, NULL);
        _cleanup_(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = NULL;
        _cleanup_(OSSL_PARAM_freep) OSSL_PARAM *params = NULL;
        _cleanup_rsa_key_ RsaKey *k = calloc(1, sizeof(RsaKey));

        if (crypto_init() < 0)
                return -ENOMEM;
        ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
        if (!n || !e || !build || !ctx || !k)
                return -ENOMEM;
        if (BN_num_bits(n) < RSA_BITS_MIN || BN_num_bits(n) > RSA_BITS_MAX || !BN_is_odd(n) ||
                        !BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > RSA_EXPONENT_BITS_MAX)
                return -EBADMSG;
        if (!OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) ||
                        !OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e))
                return -ENOMEM;
        params = OSSL_PARAM_BLD_to_param(build);
        if (!params)
                return -ENOMEM;
        ERR_clear_error();
        if (EVP_PKEY_fromdata_init(ctx) <= 0 ||
                        EVP_PKEY_fromdata(ctx, &k->pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
                return crypto_failure(-EBADMSG);
        *ret = TAKE_PTR(k);
        return 0;
}

int rsa_key_fingerprint(const RsaKey *k, uint8_t ret[static SHA256_SIZE]) {
        unsigned char *der = NULL;
        int n = i2d_PUBKEY(k->pkey, &der), r;

        if (n <= 0)
                return -EIO;
        r = hash_digest(HASH_SHA256, der, (size_t) n, ret);
        OPENSSL_free(der);
        return r;
}

int rsa_key_verify_pss(const RsaKey *k, HashAlgorithm hash, const void *data, size_t size, const void *sig,
                size_t sig_size) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *pctx = NULL; /* belongs to ctx */
        int q;

        if (!ctx)
                return -ENOMEM;
        ERR_clear_error(); /* what is there then is about this signature */
        if (EVP_DigestVerifyInit_ex(ctx, &pctx, hash_algorithm_to_string(hash), NULL, NULL, k->pkey, NULL) <=
                                        0 ||
                        EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) <= 0 ||
                        EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) <= 0)
                return -EIO;
        q = EVP_DigestVerify(ctx, sig, sig_size, data, size);
        return q == 1 ? 0 : crypto_failure(-EKEYREJECTED);
}
