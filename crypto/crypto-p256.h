/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Public keys on P-256 and signatures by them over SHA-256: what Intel's quotes, certificates and signed JSON have. Coordinates and signature halves are 32
 * bytes, big endian. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define P256_SIZE       32u
#define P256_POINT_SIZE (2 * P256_SIZE) /* x, y; a signature's r, s */

typedef struct P256Key P256Key;

/* -EBADMSG: not a point of the curve. */
_warn_unused_result_ int p256_key_new(const uint8_t point[static P256_POINT_SIZE], P256Key **ret);
P256Key *p256_key_free(P256Key *k); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(P256Key *, p256_key_free);
#define _cleanup_p256_key_ _cleanup_(p256_key_freep)

/* 0 is authentic, -EKEYREJECTED is not, anything else could not be decided. */
_warn_unused_result_ int p256_key_verify(const P256Key *k, const void *data, size_t size,
                const uint8_t signature[static P256_POINT_SIZE]);
/* The same with the signature as X.509 has it. */
_warn_unused_result_ int p256_key_verify_der(const P256Key *k, const void *data, size_t size,
                const void *signature, size_t signature_size);
