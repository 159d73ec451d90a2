/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Signatures over documents: Ed25519 (RFC 8032) or ECDSA on P-384 with SHA-384, as the key says. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

typedef struct SignKey SignKey;

SignKey *sign_key_free(SignKey *k); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(SignKey *, sign_key_free);
#define _cleanup_sign_key_ _cleanup_(sign_key_freep)

/* A private key in PEM, unencrypted: -EBADMSG, or -EOPNOTSUPP for another kind of key, with an error message. */
_warn_unused_result_ int sign_key_load(const void *pem, size_t size, SignKey **ret, char **reterr);
/* SHA-256 of the SubjectPublicKeyInfo: the usual name of a public key. */
_warn_unused_result_ int sign_key_id(const SignKey *k, uint8_t ret[static 32]);
/* *ret is owned: 64 bytes with Ed25519, DER (r, s) with P-384. */
_warn_unused_result_ int sign_data(
                const SignKey *k, const void *data, size_t size, uint8_t **ret, size_t *ret_size);
