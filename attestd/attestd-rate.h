/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How often something may be asked for: a bucket of tokens for each key, refilled steadily. A fixed table, so that no crowd makes it grow; keys that
 * meet in one bucket share it, and which ones do differs from run to run. */

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

/* Takes a token of the key, which has two parts: false if there is none. */
bool rate_take(RateTable *t, const char *what, const char *who);
