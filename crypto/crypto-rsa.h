/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* RSASSA-PSS (RFC 8017) with MGF1 over the same hash and a salt as long as the digest: what AMD's keys use. */

#include <stddef.h>
#include <stdint.h>

#include "crypto-hash.h"
#include "macro.h"

typedef struct RsaKey RsaKey; /* a public key */

RsaKey *rsa_key_free(RsaKey *k); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(RsaKey *, rsa_key_free);
#define _cleanup_rsa_key_ _cleanup_(rsa_key_freep)

/* Big-endian numbers. -EBADMSG: not a modulus of 2048 to 4096 bits, or not an odd exponent over 1. */
_warn_unused_result_ int rsa_key_new(const void *modulus, size_t modulus_size, const void *exponent,
                size_t exponent_size, RsaKey **ret);
/* SHA-256 of the DER SubjectPublicKeyInfo: how trust anchors are named. */
_warn_unused_result_ int rsa_key_fingerprint(const RsaKey *k, uint8_t ret[static SHA256_SIZE]);
/* sig: big endian. 0 is authentic, -EKEYREJECTED is not, anything else could not be decided. */
_warn_unused_result_ int rsa_key_verify_pss(const RsaKey *k, HashAlgorithm hash, const void *data,
                size_t size, const void *sig, size_t sig_size);
