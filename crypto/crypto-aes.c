/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-aes.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>

#include "crypto-init.h"

DEFINE_TRIVIAL_CLEANUP_FUNC(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_free);

int crypto_aes128_ctr(const uint8_t key[static AES128_KEY_SIZE], const uint8_t iv[static AES128_BLOCK_SIZE],
                const void *in, size_t n, void *out) {
        _cleanup_(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *ctx = NULL;
        int done = 0;

        if (n == 0)
                return 0;
        if (n > INT_MAX)
                return -E2BIG;
        if (crypto_init() < 0)
                return -ENOMEM;
        ctx = EVP_CIPHER_CTX_new();
        if (!ctx)
                return -ENOMEM;
        if (!EVP_EncryptInit_ex2(ctx, EVP_aes_128_ctr(), key, iv, NULL))
                return -EIO;
        if (!EVP_EncryptUpdate(ctx, out, &done, in, (int) n) || (size_t) done != n)
                return -EIO;
        return 0;
}
