/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For crypto-ec.c and crypto-ec-load.c only. */

#include <openssl/evp.h>

#include "crypto-ec.h"

struct EcKey {
        EVP_PKEY *pkey;        /* owned */
        EVP_PKEY *public_part; /* owned; a token gives it apart from the private key; NULL: pkey has it */
        OSSL_LIB_CTX *library; /* owned; NULL: the default one */
};
