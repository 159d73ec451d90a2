/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Hexadecimal, base64 and GUID text. Encoders return an owned, NUL-terminated string or NULL (out of memory). Decoders are
 * strict: any foreign character, odd length or wrong padding is -EINVAL; outputs are set on success only. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

typedef struct Guid {
        uint8_t bytes[16]; /* as stored in EFI structures: the first three groups little endian */
} Guid;

/* A compile-time GUID from its text form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx: GUID_INIT(0x00f771de, 0x1a7e, 0x4fcb,
 * 0x89, 0x0e, 0x68, 0xc7, 0x7e, 0x2f, 0xb4, 0x4e). */
#define GUID_INIT(a, b, c, d0, d1, d2, d3, d4, d5, d6, d7)                                                  \
        {                                                                                                   \
                {                                                                                           \
                        (a) & 0xff, ((a) >> 8) & 0xff, ((a) >> 16) & 0xff, ((a) >> 24) & 0xff, (b) &0xff,   \
                                        ((b) >> 8) & 0xff, (c) &0xff, ((c) >> 8) & 0xff, d0, d1, d2, d3,    \
                                        d4, d5, d6, d7                                                      \
                }                                                                                           \
        }
#define GUID_TEXT_SIZE 37 /* with the NUL */

char *hex_encode(const void *p, size_t n); /* lower case */
/* Decodes exactly n bytes from a string of exactly 2 n digits (either case). */
_warn_unused_result_ int hex_decode_exact(const char *text, void *buf, size_t n);
/* Decodes any even number of digits; *ret is owned (NULL for ""). */
_warn_unused_result_ int hex_decode(const char *text, size_t len, uint8_t **ret, size_t *ret_size);

char *base64_encode(const void *p, size_t n); /* standard alphabet, padded, no newline */
/* Strict: standard alphabet, padded, no white space, no stray bits. *ret is owned (NULL for ""). */
_warn_unused_result_ int base64_decode(const char *text, size_t len, uint8_t **ret, size_t *ret_size);

/* Exactly n bytes as people write a digest: hex (with or without 0x) or base64; -EINVAL with an error message. Hex digits of another number
 * are never taken for base64, which 64 of them could be. */
_warn_unused_result_ int bytes_from_text(const char *text, void *buf, size_t n, char **reterr);

/* Writes the 36 character lower-case text form. */
void guid_format(const Guid *g, char ret[static GUID_TEXT_SIZE]);
_warn_unused_result_ int guid_parse(const char *text, Guid *ret);
int guid_equal(const Guid *a, const Guid *b);
