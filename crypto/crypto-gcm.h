/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* AES-256-GCM (NIST SP 800-38D) with nonces of 96 bits and whole tags. A nonce must never be used twice with one key. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define GCM_KEY_SIZE   32u
#define GCM_NONCE_SIZE 12u
#define GCM_TAG_SIZE   16u

/* in and out hold n bytes each and may be the same memory. 0, -ENOMEM, -EIO, -E2BIG over INT_MAX. */
_warn_unused_result_ int crypto_gcm_seal(const uint8_t key[static GCM_KEY_SIZE],
                const uint8_t nonce[static GCM_NONCE_SIZE], const void *aad, size_t aad_size, const void *in,
                size_t n, uint8_t *out, uint8_t ret_tag[static GCM_TAG_SIZE]);
/* -EKEYREJECTED: something differs; then out is erased. */
_warn_unused_result_ int crypto_gcm_open(const uint8_t key[static GCM_KEY_SIZE],
                const uint8_t nonce[static GCM_NONCE_SIZE], const void *aad, size_t aad_size, const void *in,
                size_t n, const uint8_t tag[static GCM_TAG_SIZE], uint8_t *out);
