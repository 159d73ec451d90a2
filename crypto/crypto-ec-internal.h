/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For crypto-ec.c, crypto-ec-load.c and crypto-p256.c only. */

#include <openssl/evp.h>

#include "crypto-ec.h"

struct EcKey {
        EVP_PKEY *pkey;        /* owned */
        EVP_PKEY *public_part; /* owned; a token gives it apart from the private key; NULL: pkey has it */
        OSSL_LIB_CTX *library; /* owned; NULL: the default one */
};

/* ECDSA over a digest with the key of ctx (NULL: out of memory); r and s have `size` bytes each. -EKEYREJECTED: another signature. */
_warn_unused_result_ int ecdsa_verify(EVP_PKEY_CTX *ctx, const uint8_t *r, const uint8_t *s, size_t size,
                const uint8_t *digest, size_t digest_size);
