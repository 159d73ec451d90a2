/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>

#include "attestd-intel.h"
#include "attestd-service.h"
#include "snp-kds.h"
#include "strutil.h"

/* The method and path of a route, as labels. What is not a route is one more. */
static void put_labels(Text *t, const ServiceRoute *routes, size_t n, size_t i) {
        if (i < n)
                text_putf(t, "{method=\"%s\",route=\"%s\"", routes[i].method, routes[i].path);
        else
                text_put(t, "{method=\"\",route=\"\"");
}

static void put_requests(Text *t, const Metrics *m) {
        size_t n;
        const ServiceRoute *routes = service_routes(&n);

        text_put(t, "# TYPE cvmspawn_attestd_requests counter\n");
        for (size_t i = 0; i <= n; i++)
                for (unsigned k = 1; k < ELEMENTSOF(m->routes[i].by_class); k++)
                        if (m->routes[i].by_class[k] > 0) {
                                text_put(t, "cvmspawn_attestd_requests_total");
                                put_labels(t, routes, n, i);
                                text_putf(t, ",status=\"%uxx\"} %" PRIu64 "\n", k, m->routes[i].by_class[k]);
                        }
        text_put(t, "# TYPE cvmspawn_attestd_request_seconds histogram\n# UNIT cvmspawn_attestd_request_seconds seconds\n");
        for (size_t i = 0; i <= n; i++) {
                const MetricsRoute *r = m->routes + i;
                uint64_t sum = 0;

                for (unsigned k = 0; k <= METRICS_BUCKETS; k++)
                        sum += r->buckets[k];
                if (sum == 0)
                        continue;
                sum = 0;
                for (unsigned k = 0; k <= METRICS_BUCKETS; k++) {
                        sum += r->buckets[k];
                        text_put(t, "cvmspawn_attestd_request_seconds_bucket");
                        put_labels(t, routes, n, i);
                        if (k < METRICS_BUCKETS)
                                text_putf(t, ",le=\"%g\"} %" PRIu64 "\n", (double) metrics_bounds[k] / 1e6,
                                                sum);
                        else
                                text_putf(t, ",le=\"+Inf\"} %" PRIu64 "\n", sum);
                }
                text_put(t, "cvmspawn_attestd_request_seconds_count");
                put_labels(t, routes, n, i);
                text_putf(t, "} %" PRIu64 "\ncvmspawn_attestd_request_seconds_sum", sum);
                put_labels(t, routes, n, i);
                text_putf(t, "} %.6f\n", (double) r->usec / 1e6);
        }
}

static void put_reasons(Text *t, const Metrics *m) {
        text_put(t, "# TYPE cvmspawn_attestd_refusals counter\n");
        FOREACH_ARRAY(r, m->reasons, METRICS_REASONS_MAX)
                if (r->code[0])
                        text_putf(t, "cvmspawn_attestd_refusals_total{code=\"%s\"} %" PRIu64 "\n", r->code,
                                        r->n);
}

/* Only those that wait: the number of those that have ended grows for ever, and counting them takes as long. */
static void put_store(Text *t, const Service *s) {
        static const LaunchState waiting[] = { LAUNCH_OPEN, LAUNCH_HELD, LAUNCH_CONFIRMED };
        bool up = true;

        text_put(t, "# TYPE cvmspawn_attestd_launches gauge\n");
        FOREACH_ARRAY(state, waiting, ELEMENTSOF(waiting)) {
                uint64_t n = 0;

                up = up && s->store->ops->launch_count(s->store, *state, &n) >= 0;
                if (up)
                        text_putf(t, "cvmspawn_attestd_launches{state=\"%s\"} %" PRIu64 "\n",
                                        launch_state_to_string(*state), n);
        }
        text_putf(t, "# TYPE cvmspawn_attestd_store_up gauge\ncvmspawn_attestd_store_up %d\n", up);
}

#define LISTS      "cvmspawn_attestd_crl_next_update_timestamp_seconds"
#define STATEMENTS "cvmspawn_attestd_statement_next_update_timestamp_seconds"

static bool is_list(TdPcsKind kind) {
        return kind != TD_PCS_TCB_INFO && kind != TD_PCS_QE_IDENTITY;
}

static int put_intel_list(void *userdata, TdPcsKind kind, const char *name, int64_t next_update) {
        if (is_list(kind))
                text_putf(userdata, LISTS "{vendor=\"intel\",list=\"%s\"} %" PRId64 "\n", name, next_update);
        return 0;
}

static int put_statement(void *userdata, TdPcsKind kind, const char *name, int64_t next_update) {
        if (!is_list(kind))
                text_putf(userdata, STATEMENTS "{vendor=\"intel\",statement=\"%s\"} %" PRId64 "\n", name,
                                next_update);
        return 0;
}

static int put_lists(Text *t, const Service *s) {
        static const SnpKdsKind kinds[] = { SNP_KDS_VCEK_CRL, SNP_KDS_VLEK_CRL };
        const SnpKds kds = { .cache = s->kds_cache, .trust = s->snp_trust, .now = service_now(s) };

        int r;

        if (!s->kds_cache)
                return 0;
        text_put(t, "# TYPE " LISTS " gauge\n# UNIT " LISTS " seconds\n");
        for (int g = 0; g < _SNP_GENERATION_MAX; g++)
                FOREACH_ARRAY(kind, kinds, ELEMENTSOF(kinds)) {
                        const SnpKdsItem item = { .kind = *kind, .generation = (SnpGeneration) g };
                        _cleanup_(snp_kds_kept_done) SnpKdsKept k = {};
                        _cleanup_free_ char *name = NULL;

                        if (snp_kds_file(&item, &name, NULL) >= 0 && snp_kds_load(&kds, name, &k) >= 0)
                                text_putf(t, LISTS "{vendor=\"amd\",list=\"%s\"} %" PRId64 "\n", name,
                                                k.next_update);
                }
        r = intel_each_kept(s, put_intel_list, t);
        if (r < 0)
                return r;
        text_put(t, "# TYPE " STATEMENTS " gauge\n# UNIT " STATEMENTS " seconds\n");
        return intel_each_kept(s, put_statement, t);
}

int metrics_text(const Service *s, char **ret) {
        _cleanup_(text_done) Text t = {};
        int r;

        if (s->metrics) {
                put_requests(&t, s->metrics);
                put_reasons(&t, s->metrics);
        }
        put_store(&t, s);
        r = put_lists(&t, s);
        if (r < 0)
                return r;
        text_put(&t, "# EOF\n");
        return text_finish(&t, ret);
}
