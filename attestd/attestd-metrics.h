/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the service counts for monitoring, since it started, and the text that monitoring reads: OpenMetrics 1.0
 * (https://github.com/prometheus/OpenMetrics, specification/OpenMetrics.md). Names of registrations, owners and addresses are never in it. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define METRICS_ROUTES_MAX  24u /* and one for what is not a route */
#define METRICS_BUCKETS     10u
#define METRICS_REASONS_MAX 64u
#define METRICS_REASON_SIZE 40u

typedef struct Service Service;

typedef struct MetricsRoute {
        uint64_t by_class[6];                  /* of statuses: 2xx at 2 */
        uint64_t buckets[METRICS_BUCKETS + 1]; /* by duration, not cumulated */
        uint64_t usec;                         /* of all together */
} MetricsRoute;

typedef struct Metrics {
        MetricsRoute routes[METRICS_ROUTES_MAX + 1];
        struct {
                char code[METRICS_REASON_SIZE];
                uint64_t n;
        } reasons[METRICS_REASONS_MAX];
        uint64_t (*usec)(void *userdata); /* a clock that never goes back */
        void *userdata;
} Metrics;

typedef struct MetricsAnswer {
        size_t route; /* index in service_routes(), or their number */
        unsigned status;
        const char *code; /* of a problem, or NULL */
        uint64_t usec;
} MetricsAnswer;

extern const uint64_t metrics_bounds[METRICS_BUCKETS]; /* microseconds */

void metrics_count(Metrics *m, const MetricsAnswer *a);
/* Counters, launches that wait by state, whether the store works, and until when revocation lists are current. *ret is owned. */
_warn_unused_result_ int metrics_text(const Service *s, char **ret);
