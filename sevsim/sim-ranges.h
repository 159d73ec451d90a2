/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A small set of half-open ranges of numbers: which guest pages are private, which ones the processor owns. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SimRange {
        uint64_t begin;
        uint64_t end; /* one past the last */
} SimRange;

typedef struct SimRanges {
        SimRange *items; /* owned; sorted, never touching each other */
        size_t n_items;
} SimRanges;

int ranges_add(SimRanges *ranges, uint64_t begin, uint64_t end);
int ranges_remove(SimRanges *ranges, uint64_t begin, uint64_t end);
bool ranges_contain(const SimRanges *ranges, uint64_t begin, uint64_t end);
bool ranges_touch(const SimRanges *ranges, uint64_t begin, uint64_t end);
void ranges_done(SimRanges *ranges);
