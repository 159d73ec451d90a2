/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* SHA-256, SHA-384 and SHA-512, in one call or as a stream whose state can be cloned: a long common beginning is hashed
 * once and continued many times. A Hash belongs to one thread at a time; different ones may be used at once. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

typedef enum HashAlgorithm {
        HASH_SHA256,
        HASH_SHA384,
        HASH_SHA512,
        _HASH_ALGORITHM_MAX,
        _HASH_ALGORITHM_INVALID = -22,
} HashAlgorithm;

#define SHA256_SIZE   32u
#define SHA384_SIZE   48u
#define SHA512_SIZE   64u
#define HASH_SIZE_MAX SHA512_SIZE

const char *hash_algorithm_to_string(HashAlgorithm a); /* "sha256", "sha384", "sha512" */
HashAlgorithm hash_algorithm_from_string(const char *s);
size_t hash_size(HashAlgorithm a);

/* All functions: 0, -ENOMEM, or -EIO when the library refuses (a broken provider configuration). ret holds hash_size()
 * bytes. */
_warn_unused_result_ int hash_digest(HashAlgorithm a, const void *p, size_t n, uint8_t *ret);

/* Of `size` bytes of a file; also -errno of reading, and -ENODATA or the like where it ends before that. */
_warn_unused_result_ int hash_file_range(
                HashAlgorithm a, int fd, uint64_t offset, uint64_t size, uint8_t *ret);

typedef struct Hash Hash;

_warn_unused_result_ int hash_new(HashAlgorithm a, Hash **ret);
Hash *hash_free(Hash *h); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(Hash *, hash_free);
#define _cleanup_hash_ _cleanup_(hash_freep)

_warn_unused_result_ int hash_update(Hash *h, const void *p, size_t n);
/* Stores the digest; afterwards the object is as new. */
_warn_unused_result_ int hash_final(Hash *h, uint8_t *ret);
/* Forgets everything that was hashed. */
_warn_unused_result_ int hash_reset(Hash *h);
/* A new object in the same state. */
_warn_unused_result_ int hash_clone(const Hash *h, Hash **ret);
/* Gives dst, of the same algorithm, the state of src. */
_warn_unused_result_ int hash_assign(Hash *dst, const Hash *src);
