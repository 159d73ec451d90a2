/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The key derivation of the SEV API (AMD 55766, "Usage keys"): NIST SP 800-108 in counter mode with HMAC-SHA256 as the
 * function, where the counter and the length in bits are 32-bit little-endian numbers (the publication leaves the
 * encoding open, and most libraries offer big endian only). */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

/* Fills out with size bytes; context may be NULL. 0, -ENOMEM, -EIO, -E2BIG over 8160 bytes (255 blocks). */
_warn_unused_result_ int crypto_kdf_counter_le(const void *key, size_t key_size, const char *label,
                const void *context, size_t context_size, uint8_t *out, size_t size);
