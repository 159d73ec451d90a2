/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* HMAC-SHA256 (RFC 2104) over a list of byte ranges, so that messages which hold secrets need not be copied together. */

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "macro.h"

#define HMAC_SHA256_SIZE 32u

/* A range for the list of crypto_hmac_sha256(). */
#define HMAC_RANGE(p, n) ((struct iovec) { .iov_base = (void *) (p), .iov_len = (n) })

/* 0, -ENOMEM or -EIO (the library refuses). */
_warn_unused_result_ int crypto_hmac_sha256(const void *key, size_t key_size, const struct iovec *ranges,
                size_t n_ranges, uint8_t ret[static HMAC_SHA256_SIZE]);
