/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For crypto-ec-load.c, crypto-sign.c and crypto-token.c only: private keys that stay where they are. A store has its own library context, which reads OpenSSL's configuration
 * file: providers (PKCS#11 among them) are named there, while nothing else in this program may depend on it. */

#include <openssl/evp.h>

#include "macro.h"

typedef struct StoreKey {
        EVP_PKEY *pkey;        /* owned */
        EVP_PKEY *public_part; /* owned; a token gives it apart from the private key; NULL: pkey has it */
        OSSL_LIB_CTX *libctx;  /* owned; the keys live in it */
} StoreKey;

void store_key_done(StoreKey *k);
/* By URI: "pkcs11:token=...;object=...", or any scheme of a provider. With an error message. */
/* -ENOENT: the store has no private key there, or does not give it. */
_warn_unused_result_ int store_key_open(const char *uri, StoreKey *ret, char **reterr);
/* The same for what there is: either key of *ret may be NULL. */
_warn_unused_result_ int store_keys_load(const char *uri, StoreKey *ret, char **reterr);
