/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The Authenticode digest of a PE image, which UEFI measures when it loads one: everything but the checksum, the entry for certificates and
 * the certificates (Microsoft, "Windows Authenticode Portable Executable Signature Format"). A Linux kernel is one by its EFI stub. */

#include <stddef.h>
#include <stdint.h>

#include "crypto-hash.h"

/* -EBADMSG with an error message: not a PE image, or one that ends before its sections do. */
_warn_unused_result_ int pe_digest(
                const uint8_t *image, size_t size, uint8_t ret[static SHA384_SIZE], char **reterr);
