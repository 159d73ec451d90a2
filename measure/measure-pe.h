/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The Authenticode digest of a PE image, which UEFI measures when it loads one: everything but the checksum, the entry for certificates and
 * the certificates (Microsoft, "Windows Authenticode Portable Executable Signature Format"). A Linux kernel is one by its EFI stub. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-hash.h"

/* -EBADMSG with an error message: not a PE image, or one that ends before its sections do. */
_warn_unused_result_ int pe_digest(
                const uint8_t *image, size_t size, uint8_t ret[static SHA384_SIZE], char **reterr);

/* There is a certificate table, whatever it has. */
bool pe_is_signed(const uint8_t *image, size_t size);

#define PE_SECTIONS_MAX 96u /* what Windows loads */

typedef struct PeSection {
        char name[9];
        uint32_t virtual_size, raw_size, offset; /* bytes in memory and in the file, and where in the file */
} PeSection;

/* The section table, in its order: *ret_n of at most PE_SECTIONS_MAX. -EBADMSG without a message: not a PE image. What the table says of the file is not
 * checked. */
_warn_unused_result_ int pe_sections(
                const uint8_t *image, size_t size, PeSection ret[static PE_SECTIONS_MAX], size_t *ret_n);
