/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): numbers that follow from a machine's name. */

#include <stddef.h>
#include <stdint.h>

uint64_t siphash24(const void *data, size_t size, const uint8_t key[16]);
