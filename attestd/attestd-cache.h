/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Platform chains that were found authentic, by the hash of everything that this verdict depends on: the certificates of the chain, those of
 * AMD's that the service adds, and the anchors. A different byte anywhere gives a different key. Nothing else is cached: which owner a
 * registration accepts, and what it requires of the platform, is checked each time; SEV certificates have no dates and no revocation. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest-chain.h"
#include "macro.h"

#define PLATFORM_CACHE_ENTRIES 256u
#define PLATFORM_KEY_SIZE      32u

typedef struct Service Service;

typedef struct PlatformCache {
        struct {
                uint8_t key[PLATFORM_KEY_SIZE];
                uint64_t used; /* the higher, the later; 0: none */
        } entries[PLATFORM_CACHE_ENTRIES];
        uint64_t uses;
} PlatformCache;

/* What the verdict on this chain depends on. */
_warn_unused_result_ int platform_key(
                const Service *s, const SevChain *chain, uint8_t ret[static PLATFORM_KEY_SIZE]);
bool platform_cache_has(PlatformCache *c, const uint8_t key[static PLATFORM_KEY_SIZE]);
/* Replaces the least recently used one. */
void platform_cache_add(PlatformCache *c, const uint8_t key[static PLATFORM_KEY_SIZE]);
