/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For crypto-ec-load.c and crypto-sign.c only: private keys that stay where they are. A store has its own library context, which reads OpenSSL's configuration
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
_warn_unused_result_ int store_key_open(const char *uri, StoreKey *ret, char **reterr);
