/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-cache.h"

#include <string.h>

#include "attestd-service.h"
#include "crypto-hash.h"

#define KEY_VERSION "cvmspawn-platform-v1"

/* The length precedes the bytes, so that no two lists hash the same; an absent item has its own mark. */
static int add(Hash *h, const void *p, uint64_t n) {
        int r = hash_update(h, &n, sizeof(n));

        return r >= 0 && p ? hash_update(h, p, (size_t) n) : r;
}

static int add_chain(Hash *h, const SevChain *c) {
        const struct {
                bool has;
                const uint8_t *raw;
        } parts[] = {
                { c->has_pdh, c->pdh.raw },
                { c->has_pek, c->pek.raw },
                { c->has_oca, c->oca.raw },
                { c->has_cek, c->cek.raw },
        };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(parts) && r >= 0; i++)
                r = add(h, parts[i].has ? parts[i].raw : NULL, parts[i].has ? SEV_CERT_SIZE : UINT64_MAX);
        return r;
}

static int add_amd(Hash *h, const AmdCert *c, bool has) {
        return add(h, has ? c->raw : NULL, has ? c->raw_size : UINT64_MAX);
}

int platform_key(const Service *s, const SevChain *chain, uint8_t ret[static PLATFORM_KEY_SIZE]) {
        _cleanup_hash_ Hash *h = NULL;
        int r = hash_new(HASH_SHA256, &h);

        if (r >= 0)
                r = add(h, KEY_VERSION, strlen(KEY_VERSION));
        for (size_t i = 0; i < s->anchors->n_items && r >= 0; i++)
                r = add(h, s->anchors->items[i].fingerprint, ANCHOR_FINGERPRINT_SIZE);
        if (r >= 0)
                r = add_chain(h, chain);
        if (r >= 0)
                r = add_amd(h, &chain->ask, chain->has_ask);
        if (r >= 0)
                r = add_amd(h, &chain->ark, chain->has_ark);
        for (size_t i = 0; i < s->n_collateral && r >= 0; i++) {
                r = add_amd(h, &s->collateral[i].ask, true);
                if (r >= 0)
                        r = add_amd(h, &s->collateral[i].ark, true);
        }
        return r < 0 ? r : hash_final(h, ret);
}

bool platform_cache_has(PlatformCache *c, const uint8_t key[static PLATFORM_KEY_SIZE]) {
        FOREACH_ARRAY(e, c->entries, PLATFORM_CACHE_ENTRIES)
                if (e->used > 0 && memcmp(e->key, key, PLATFORM_KEY_SIZE) == 0) {
                        e->used = ++c->uses;
                        return true;
                }
        return false;
}

void platform_cache_add(PlatformCache *c, const uint8_t key[static PLATFORM_KEY_SIZE]) {
        size_t oldest = 0;

        for (size_t i = 1; i < PLATFORM_CACHE_ENTRIES; i++)
                if (c->entries[i].used < c->entries[oldest].used)
                        oldest = i;
        memcpy(c->entries[oldest].key, key, PLATFORM_KEY_SIZE);
        c->entries[oldest].used = ++c->uses;
}
