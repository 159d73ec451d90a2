/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-gcm.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>

#include "crypto-init.h"
#include "secret.h"

DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_free);

/* Key, nonce and what is only authenticated, for one direction. */
static int begin(EVP_CIPHER_CTX **ret, int encrypt, const uint8_t key[static GCM_KEY_SIZE],
                const uint8_t nonce[static GCM_NONCE_SIZE], const void *aad, size_t aad_size) {
        EVP_CIPHER_CTX *ctx;
        int done = 0;

        if (aad_size > INT_MAX)
                return -E2BIG;
        if (crypto_init() < 0)
                return -ENOMEM;
        *ret = ctx = EVP_CIPHER_CTX_new();
        if (!ctx)
                return -ENOMEM;
        if (EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, encrypt, NULL) != 1)
                return -EIO;
        if (aad_size > 0 && EVP_CipherUpdate(ctx, NULL, &done, aad, (int) aad_size) != 1)
                return -EIO;
        return 0;
}

static int run(EVP_CIPHER_CTX *ctx, const void *in, size_t n, uint8_t *out) {
        int done = 0;

        if (n > INT_MAX)
                return -E2BIG;
        if (n == 0)
                return 0;
        return EVP_CipherUpdate(ctx, out, &done, in, (int) n) == 1 && (size_t) done == n ? 0 : -EIO;
}

int crypto_gcm_seal(const uint8_t key[static GCM_KEY_SIZE], const uint8_t nonce[static GCM_NONCE_SIZE],
                const void *aad, size_t aad_size, const void *in, size_t n, uint8_t *out,
                uint8_t ret_tag[static GCM_TAG_SIZE]) {
        _cleanup_(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *ctx = NULL;
        uint8_t rest[GCM_TAG_SIZE];
        int done = 0, r = begin(&ctx, /* encrypt= */ 1, key, nonce, aad, aad_size);

        if (r >= 0)
                r = run(ctx, in, n, out);
        if (r < 0)
                return r;
        if (EVP_CipherFinal_ex(ctx, rest, &done) != 1 || done != 0 ||
                        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_SIZE, ret_tag) != 1)
                return -EIO;
        return 0;
}

int crypto_gcm_open(const uint8_t key[static GCM_KEY_SIZE], const uint8_t nonce[static GCM_NONCE_SIZE],
                const void *aad, size_t aad_size, const void *in, size_t n,
                const uint8_t tag[static GCM_TAG_SIZE], uint8_t *out) {
        _cleanup_(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *ctx = NULL;
        uint8_t rest[GCM_TAG_SIZE];
        int done = 0, r = begin(&ctx, /* encrypt= */ 0, key, nonce, aad, aad_size);

        if (r >= 0)
                r = run(ctx, in, n, out);
        if (r >= 0 && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_SIZE, (void *) tag) != 1)
                r = -EIO;
        /* What does not authenticate was never there. */
        if (r >= 0 && EVP_CipherFinal_ex(ctx, rest, &done) != 1)
                r = -EKEYREJECTED;
        if (r < 0)
                erase_memory(out, n);
        return r;
}
