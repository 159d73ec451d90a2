/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "sim-ranges.h"

/* Rewrites the set without [begin, end), and with it as one range again where `keep` says so. A launch has some
 * dozens of ranges: plain is better here than clever. */
static int ranges_rebuild(SimRanges *ranges, uint64_t begin, uint64_t end, bool keep) {
        SimRange *items = calloc(ranges->n_items + 2, sizeof(SimRange));
        size_t n = 0;
        bool placed = !keep;

        if (!items)
                return -ENOMEM;

        for (size_t i = 0; i < ranges->n_items; i++) {
                SimRange r = ranges->items[i];

                if (keep && r.begin <= end && begin <= r.end) {
                        begin = r.begin < begin ? r.begin : begin;
                        end = r.end > end ? r.end : end;
                        continue;
                }
                if (!placed && r.begin > end) {
                        items[n++] = (SimRange) { begin, end };
                        placed = true;
                }
                if (keep || r.end <= begin || end <= r.begin) {
                        items[n++] = r;
                        continue;
                }
                if (r.begin < begin)
                        items[n++] = (SimRange) { r.begin, begin };
                if (end < r.end)
                        items[n++] = (SimRange) { end, r.end };
        }
        if (!placed)
                items[n++] = (SimRange) { begin, end };

        free(ranges->items);
        ranges->items = items;
        ranges->n_items = n;
        return 0;
}

int ranges_add(SimRanges *ranges, uint64_t begin, uint64_t end) {
        return ranges_rebuild(ranges, begin, end, /* keep= */ true);
}

int ranges_remove(SimRanges *ranges, uint64_t begin, uint64_t end) {
        return ranges_rebuild(ranges, begin, end, /* keep= */ false);
}

bool ranges_contain(const SimRanges *ranges, uint64_t begin, uint64_t end) {
        for (size_t i = 0; i < ranges->n_items; i++)
                if (ranges->items[i].begin <= begin && end <= ranges->items[i].end)
                        return true;
        return false;
}

bool ranges_touch(const SimRanges *ranges, uint64_t begin, uint64_t end) {
        for (size_t i = 0; i < ranges->n_items; i++)
                if (ranges->items[i].begin < end && begin < ranges->items[i].end)
                        return true;
        return false;
}

void ranges_done(SimRanges *ranges) {
        free(ranges->items);
        *ranges = (SimRanges) {};
}
