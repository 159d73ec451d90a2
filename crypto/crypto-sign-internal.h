/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For crypto-sign.c and crypto-dsse.c only. */

#include <openssl/evp.h>

/* The hash that a key's signatures are made with: "" for Ed25519, which hashes by itself, "SHA2-256" or "SHA2-384" on the curves P-256 and
 * P-384; NULL for any other key. */
const char *sign_digest(EVP_PKEY *key);
