/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Secrets at rest: encrypted and authenticated under a key that is kept in its own file, so that the database alone reveals nothing.
 *
 *      record    version 2 | salt 16 | AES-256-GCM(K, N, data), with version and salt as associated data | tag 16
 *      K N       KDF(key, "cvmspawn-attestd-v2", salt || purpose || 0x00 || context), 32 and 12 bytes
 *
 * The salt is random, so that each record has its own key and no nonce is used twice. Purpose and context (the registration, the
 * launch) are bound in: a record does not open in another place. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-ec.h"
#include "crypto-random.h"
#include "macro.h"
#include "secret.h"

#define VAULT_KEY_SIZE 32u
#define VAULT_OVERHEAD (1u + 16u + 16u)

#define VAULT_ID_SIZE 16u

typedef struct Vault {
        SecretBuf key;
        SecretBuf previous; /* also opens records, while they are encrypted again with `key`; or empty */
        SecretBuf signer;   /* the scalar of vault_signer(), where it is not derived from `key`; or empty */
        RandomFunction random; /* for salts; NULL: the system's */
        void *random_data;
} Vault;

/* What a record is for, and whose it is. */
typedef struct VaultPlace {
        const char *purpose;
        const void *context; /* borrowed */
        size_t context_size;
} VaultPlace;

void vault_done(Vault *v);
/* The key file: 32 bytes, accessible to its owner only. With `create` a missing one is created. -EBADMSG, -EPERM (accessible to others) with
 * a message. */
_warn_unused_result_ int vault_open(const char *path, bool create, Vault *ret, char **reterr);
/* As an option names it: a file, or the URI of an RSA key in a token (crypto-token.h), from which the key follows; that one is never created, and errors are as
 * there. */
_warn_unused_result_ int vault_open_given(const char *given, bool create, Vault *ret, char **reterr);

/* *ret is owned. */
_warn_unused_result_ int vault_seal(const Vault *v, const VaultPlace *place, const void *data, size_t size,
                uint8_t **ret, size_t *ret_size);
/* -EKEYREJECTED: another key, another place, or changed bytes. */
_warn_unused_result_ int vault_unseal(
                const Vault *v, const VaultPlace *place, const void *record, size_t size, SecretBuf *ret);

/* Which key it is, without telling it. */
_warn_unused_result_ int vault_id(const Vault *v, uint8_t ret[static VAULT_ID_SIZE]);
/* The secret scalar of vault_signer(). */
_warn_unused_result_ int vault_signer_scalar(const Vault *v, SecretBuf *ret);
/* The key that this service signs packets for SNP guests with: a P-384 key, derived from the vault's first key, since guests are measured
 * with it. */
_warn_unused_result_ int vault_signer(const Vault *v, EcKey **ret);
