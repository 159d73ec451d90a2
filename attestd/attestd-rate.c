/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-rate.h"

#include "macro.h"

#define TOKEN UINT64_C(1000000)

/* FNV-1a behind a seed: an even spread, and not foreseeable. */
static uint64_t mix(uint64_t h, const char *text) {
        for (; *text; text++)
                h = (h ^ (uint8_t) *text) * UINT64_C(0x100000001b3);
        return (h ^ 0xff) * UINT64_C(0x100000001b3);
}

static size_t bucket_of(const RateTable *t, const char *what, const char *who) {
        uint64_t h = mix(mix(UINT64_C(0xcbf29ce484222325) ^ t->seed, what), who);

        return (size_t) ((h ^ h >> 32) % RATE_BUCKETS);
}

bool rate_take(RateTable *t, const char *what, const char *who) {
        uint64_t now, passed, refilled, *used, *since;
        size_t bucket;

        if (t->per_second == 0)
                return true;
        bucket = bucket_of(t, what, who);
        used = &t->buckets[bucket].used;
        since = &t->buckets[bucket].since;
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
