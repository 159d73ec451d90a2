/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* SHA-512 (FIPS 180-4), for binding a report to a file: this program has no crypto library. Nothing secret goes through it. */

#include <stddef.h>
#include <stdint.h>

#define GUEST_SHA512_SIZE 64u

void guest_sha512(const void *p, size_t n, uint8_t ret[static GUEST_SHA512_SIZE]);
