/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Secrets at rest: encrypted and authenticated under a key that lies in a file of its own, so that the database alone tells
 * nothing.
 *
 *      record   version 1 | nonce 16 | AES-128-CTR(K1, nonce, data) | HMAC-SHA256(K2, everything before)
 *      K1 K2    KDF(key, "cvmspawn-attestd-v1", nonce || purpose || 0x00 || context), 16 and 32 bytes
 *
 * Purpose and context (the registration, the launch) are bound in: a record does not open in another place. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-ec.h"
#include "crypto-random.h"
#include "macro.h"
#include "secret.h"

#define VAULT_KEY_SIZE 32u
#define VAULT_OVERHEAD (1u + 16u + 32u)

typedef struct Vault {
        SecretBuf key;
} Vault;

void vault_done(Vault *v);
/* The key file: 32 bytes, for its owner only. With `create` a missing one is made. -EBADMSG, -EPERM (readable by others) with a
 * sentence. */
_warn_unused_result_ int vault_open(const char *path, bool create, Vault *ret, char **reterr);

/* *ret is owned. */
_warn_unused_result_ int vault_seal(const Vault *v, const char *purpose, const void *context,
                size_t context_size, const void *data, size_t size, RandomFunction random, void *userdata,
                uint8_t **ret, size_t *ret_size);
/* -EKEYREJECTED: another key, another place, or changed bytes. */
_warn_unused_result_ int vault_unseal(const Vault *v, const char *purpose, const void *context,
                size_t context_size, const void *record, size_t size, SecretBuf *ret);

/* The key that this service signs packets for SNP guests with: a P-384 key, the same as long as the vault's key is. */
_warn_unused_result_ int vault_signer(const Vault *v, EcKey **ret);
