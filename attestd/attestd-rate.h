/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Rate limits: a bucket of tokens for each key, refilled steadily. The table has a fixed size, so that clients cannot make it grow; keys that
 * fall into one bucket share it, and which ones do differs from run to run. */

#include <stdbool.h>
#include <stdint.h>

#define RATE_BUCKETS 1024u

typedef struct RateTable {
        uint64_t per_second, burst;       /* 0 per second: no limit */
        uint64_t (*usec)(void *userdata); /* a clock that never goes back */
        void *userdata;
        uint64_t seed; /* random */
        struct {
                uint64_t used, since; /* tokens not yet refilled, in millionths; when that was so */
        } buckets[RATE_BUCKETS];
} RateTable;

/* Takes a token of the key, which has two parts; false if none is left. */
bool rate_take(RateTable *t, const char *what, const char *who);
