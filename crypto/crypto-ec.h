/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* P-384 keys: ECDH and ECDSA. Coordinates, scalars and signature halves are 48 bytes, big endian, as standards print
 * them; formats that store them little endian are turned round by their parsers. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-hash.h"
#include "crypto-random.h"
#include "macro.h"
#include "secret.h"

#define P384_SIZE 48u

typedef struct EcKey EcKey; /* a public key, or a pair */

EcKey *ec_key_free(EcKey *k); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(EcKey *, ec_key_free);
#define _cleanup_ec_key_ _cleanup_(ec_key_freep)

typedef struct EcPoint {
        uint8_t x[P384_SIZE], y[P384_SIZE];
} EcPoint;

/* -EBADMSG: not a point of the curve. */
_warn_unused_result_ int ec_key_from_point(const EcPoint *p, EcKey **ret);
/* -EBADMSG: not between 1 and the order. The public half is computed. */
_warn_unused_result_ int ec_key_from_scalar(const uint8_t d[static P384_SIZE], EcKey **ret);
/* A fresh pair from the given source of random bytes. */
_warn_unused_result_ int ec_key_generate(RandomFunction random, void *userdata, EcKey **ret);
/* A private key: PEM or DER, SEC1 or PKCS#8, told apart by content; in PEM other blocks may stand before it. An encrypted one, or one on
 * another curve, is refused with an error message. */
_warn_unused_result_ int ec_key_load(const void *data, size_t size, EcKey **ret, char **reterr);
/* The same for a key that may be encrypted in PEM (RFC 5958, or OpenSSL's older form). NULL: no passphrase is known. */
_warn_unused_result_ int ec_key_load_encrypted(
                const void *data, size_t size, const char *passphrase, EcKey **ret, char **reterr);
/* A public key alone: SubjectPublicKeyInfo, PEM or DER. */
_warn_unused_result_ int ec_key_load_public(const void *data, size_t size, EcKey **ret, char **reterr);
/* A private key that stays where it is: "pkcs11:token=...;object=...", or any scheme of a provider that OpenSSL's
 * configuration file names. */
_warn_unused_result_ int ec_key_open(const char *uri, EcKey **ret, char **reterr);
_warn_unused_result_ int ec_key_point(const EcKey *k, EcPoint *ret);

/* The shared secret: the x coordinate, 48 bytes. */
_warn_unused_result_ int ec_key_derive(const EcKey *own, const EcKey *peer, SecretBuf *ret);

/* ECDSA over the hash of data. verify: 0 is authentic, -EKEYREJECTED is not, anything else could not be decided. */
typedef struct EcSignature {
        uint8_t r[P384_SIZE], s[P384_SIZE];
} EcSignature;
_warn_unused_result_ int ec_key_verify(
                const EcKey *k, HashAlgorithm hash, const void *data, size_t size, const EcSignature *sig);
_warn_unused_result_ int ec_key_sign(
                const EcKey *k, HashAlgorithm hash, const void *data, size_t size, EcSignature *ret);
