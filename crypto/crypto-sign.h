/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Signatures over documents: Ed25519 (RFC 8032) or ECDSA on P-256 with SHA-256 or P-384 with SHA-384, as the key says. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

typedef struct SignKey SignKey;

SignKey *sign_key_free(SignKey *k); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(SignKey *, sign_key_free);
#define _cleanup_sign_key_ _cleanup_(sign_key_freep)

/* A private key in PEM, unencrypted: -EBADMSG, or -EOPNOTSUPP for another kind of key, with an error message. */
_warn_unused_result_ int sign_key_load(const void *pem, size_t size, SignKey **ret, char **reterr);
/* The same for a private key that stays where it is, by URI: "pkcs11:token=...;object=...". */
_warn_unused_result_ int sign_key_open(const char *uri, SignKey **ret, char **reterr);
/* SHA-256 of the SubjectPublicKeyInfo: the usual name of a public key. */
_warn_unused_result_ int sign_key_id(const SignKey *k, uint8_t ret[static 32]);
/* As JSON Web Signatures name it: "EdDSA", "ES256", "ES384" (RFC 7518, RFC 8037). */
const char *sign_key_jws_name(const SignKey *k);
/* Bytes of r and of s; 0: not ECDSA. */
size_t sign_key_ecdsa_half(const SignKey *k);
/* *ret is owned: 64 bytes with Ed25519, DER (r, s) with P-256 and P-384. */
_warn_unused_result_ int sign_data(
                const SignKey *k, const void *data, size_t size, uint8_t **ret, size_t *ret_size);
