/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-metrics.h"

#include <stdio.h>
#include <string.h>

#include "strutil.h"

/* Microseconds. */
const uint64_t metrics_bounds[METRICS_BUCKETS] = { 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000,
        500000, 2500000 };

static void count_reason(Metrics *m, const char *code) {
        FOREACH_ARRAY(r, m->reasons, METRICS_REASONS_MAX) {
                if (!r->code[0])
                        (void) snprintf(r->code, sizeof(r->code), "%s", code);
                else if (!streq(r->code, code))
                        continue;
                r->n++;
                return;
        }
}

void metrics_count(Metrics *m, const MetricsAnswer *a) {
        MetricsRoute *r = m->routes + MIN(a->route, (size_t) METRICS_ROUTES_MAX);
        size_t i = 0;

        r->by_class[MIN(a->status / 100, 5u)]++;
        while (i < METRICS_BUCKETS && a->usec > metrics_bounds[i])
                i++;
        r->buckets[i]++;
        r->usec += a->usec;
        if (a->code)
                count_reason(m, a->code);
}
