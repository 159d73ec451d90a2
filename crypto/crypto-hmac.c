/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-hmac.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "crypto-init.h"

DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_MAC *, EVP_MAC_free);
DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_MAC_CTX *, EVP_MAC_CTX_free);

int crypto_hmac_sha256(const void *key, size_t key_size, const struct iovec *ranges, size_t n_ranges,
                uint8_t ret[static HMAC_SHA256_SIZE]) {
        _cleanup_(EVP_MAC_CTX_freep) EVP_MAC_CTX *ctx = NULL;
        _cleanup_(EVP_MAC_freep) EVP_MAC *mac = NULL;
        const OSSL_PARAM params[] = {
                OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *) "SHA256", 0),
                OSSL_PARAM_construct_end(),
        };
        uint8_t out[HMAC_SHA256_SIZE];
        size_t n = 0;

        if (crypto_init() < 0)
                return -ENOMEM;
        mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
        ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
        if (!ctx)
                return -ENOMEM;
        /* A NULL key would mean "keep the last one"; an empty key is a key. */
        if (!EVP_MAC_init(ctx, key_size > 0 ? key : (const void *) "", key_size, params))
                return -EIO;
        FOREACH_ARRAY(v, ranges, n_ranges)
                if (v->iov_len > 0 && !EVP_MAC_update(ctx, v->iov_base, v->iov_len))
                        return -EIO;
        if (!EVP_MAC_final(ctx, out, &n, sizeof(out)) || n != sizeof(out))
                return -EIO;

        for (size_t i = 0; i < sizeof(out); i++)
                ret[i] = out[i];
        OPENSSL_cleanse(out, sizeof(out));
        return 0;
}
