/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* SHA-256 that stops in the middle, as bytes that another program continues from: the eight words after the last whole block, and
 * what is left of a block (FIPS 180-4, section 6.2). A Hash cannot be taken out of its process. */

#include <stddef.h>
#include <stdint.h>

#include "crypto-hash.h"
#include "macro.h"

#define SHA256_BLOCK 64u

typedef struct Sha256State {
        uint8_t words[SHA256_SIZE]; /* big endian, as the digest has them */
        uint64_t size;              /* bytes so far; the tail has size % 64 of them */
        uint8_t tail[SHA256_BLOCK];
} Sha256State;

_warn_unused_result_ int sha256_state_init(Sha256State *s);
_warn_unused_result_ int sha256_state_update(Sha256State *s, const void *p, size_t n);
/* The digest of all bytes so far; the state stays. */
_warn_unused_result_ int sha256_state_digest(const Sha256State *s, uint8_t ret[static SHA256_SIZE]);
