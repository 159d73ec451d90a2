/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-rate.h"

#include "macro.h"

#define TOKEN UINT64_C(1000000)

/* FNV-1a behind a seed: an even spread, and not foreseeable. */
static size_t bucket_of(const RateTable *t, const char *key) {
        uint64_t h = UINT64_C(0xcbf29ce484222325) ^ t->seed;

        for (; *key; key++)
                h = (h ^ (uint8_t) *key) * UINT64_C(0x100000001b3);
        return (size_t) ((h ^ h >> 32) % RATE_BUCKETS);
}

bool rate_take(RateTable *t, const char *key) {
        uint64_t now, passed, refilled, *used, *since;

        if (t->per_second == 0)
                return true;
        used = &t->buckets[bucket_of(t, key)].used;
        since = &t->buckets[bucket_of(t, key)].since;
        now = t->usec(t->userdata);
        passed = now > *since ? now - *since : 0;
        /* In a microsecond one millionth of what comes in a second. What would fill the bucket anyway need not be multiplied. */
        refilled = passed / TOKEN > t->burst ? *used : passed * t->per_second;
        *used -= MIN(*used, refilled);
        *since = now;
        if (*used > (t->burst - 1) * TOKEN)
                return false;
        *used += TOKEN;
        return true;
}
