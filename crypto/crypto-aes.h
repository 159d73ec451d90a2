/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* AES-128 in counter mode (NIST SP 800-38A), as the SEV API uses it for keys and secrets: the 16-byte IV is the initial
 * counter block and counts up as one 128-bit big-endian number. Decryption is the same operation. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define AES128_KEY_SIZE   16u
#define AES128_BLOCK_SIZE 16u

/* in and out hold n bytes each and may be the same memory: 0, -ENOMEM, -EIO, -E2BIG over INT_MAX. */
_warn_unused_result_ int crypto_aes128_ctr(const uint8_t key[static AES128_KEY_SIZE],
                const uint8_t iv[static AES128_BLOCK_SIZE], const void *in, size_t n, void *out);
