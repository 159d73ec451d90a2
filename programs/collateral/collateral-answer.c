/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "collateral-answer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "date.h"
#include "log.h"
#include "strutil.h"

#define LOOK_MSEC     60000u /* how often dates of revocation lists are looked at */
#define SEEN_MSEC     5000u  /* so long a chain or list counts as there */
#define REFRESH_LEAST 60     /* seconds: the shortest pause between two downloads of a list */
#define AHEAD_MAX     64u    /* prefetches in the queue at a time */
#define AHEAD_TURN    32u    /* addresses looked at in one turn: each is a file to verify */
#define LEAF_AGE      86400u
#define LIST_AGE      3600
#define INTEL_MSEC    UINT64_C(1000) /* between two downloads from Intel, which names no limit */

uint64_t collateral_now(void) {
        struct timespec t;

        return clock_gettime(CLOCK_MONOTONIC, &t) < 0
                        ? 0
                        : (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / 1000000;
}

int collateral_desk_open(CollateralDesk *d, const CollateralArgs *a, char **reterr) {
        int r = collateral_store_open(a, /* make= */ true, &d->store, reterr);

        d->args = a;
        d->queues[COLLATERAL_AMD].interval = MAX(a->interval / 1000, UINT64_C(1));
        d->queues[COLLATERAL_INTEL].interval = MIN(d->queues[COLLATERAL_AMD].interval, INTEL_MSEC);
        return r >= 0 ? collateral_read_prefetch(a, &d->ahead, reterr) : r;
}

void collateral_desk_done(CollateralDesk *d) {
        collateral_store_done(&d->store);
        FOREACH_ARRAY(q, d->queues, ELEMENTSOF(d->queues))
                collateral_queue_done(q);
        strv_free(d->ahead);
}

static int load(CollateralDesk *d, const char *name, SnpKdsKept *ret) {
        return collateral_store_load(&d->store, name, ret);
}

static int ask(CollateralDesk *d, const CollateralRequest *q, CollateralTurn turn_, const char *client,
                CollateralDecision *ret, uint64_t *ret_msec) {
        const CollateralWish w = { q->name, q->path, client, turn_ };

        return collateral_queue_ask(&d->queues[q->service], &w, collateral_now(), ret, ret_msec);
}

/* Seconds between two downloads of what has a next update: --refresh, or half of the time to its end. */
static int64_t period_of(const CollateralDesk *d, const SnpKdsKept *k, int64_t now) {
        int64_t period = MIN((int64_t) (d->args->refresh / 1000000), (k->next_update - now) / 2);

        return MAX(period, (int64_t) REFRESH_LEAST);
}

/* Puts something into the queue unless it is in the cache. */
static int want(CollateralDesk *d, SnpKdsKind kind, SnpGeneration g, CollateralTurn turn_) {
        _cleanup_(collateral_request_done) CollateralRequest q = {};
        _cleanup_(snp_kds_kept_done) SnpKdsKept k = {};
        uint64_t msec, now = collateral_now(), *seen = &d->seen[g][kind];
        CollateralDecision decision;
        int r;

        if (*seen > 0 && now - *seen < SEEN_MSEC)
                return 0;
        r = collateral_request_of(kind, g, &q);
        if (r >= 0)
                r = load(d, q.name, &k);
        if (r >= 0)
                *seen = now;
        return r == -ENOENT ? ask(d, &q, turn_, "", &decision, &msec) : MIN(r, 0);
}

/* A leaf or a list needs its chain first, and a leaf is of little use without the list. */
static int want_companions(CollateralDesk *d, const CollateralRequest *q) {
        SnpKdsKind chain = collateral_chain_of(q->kind);
        int r = q->service == COLLATERAL_INTEL || q->kind == chain
                        ? 0
                        : want(d, chain, q->generation, COLLATERAL_FIRST);

        if (r >= 0 && q->service == COLLATERAL_AMD && q->kind == SNP_KDS_VCEK)
                r = want(d, SNP_KDS_VCEK_CRL, q->generation, COLLATERAL_AHEAD);
        return r;
}

/* TCB infos are many, as chips are; clients take turns. */
static CollateralTurn turn_of(const CollateralRequest *q) {
        bool many = q->service == COLLATERAL_INTEL ? q->pcs.kind == TD_PCS_TCB_INFO
                                                   : q->kind == SNP_KDS_VCEK;

        return many ? COLLATERAL_ASKED : COLLATERAL_FIRST;
}

/* A list is downloaded again after --refresh, or when half of the time to its end is over. */
static int refresh(CollateralDesk *d, SnpKdsKind kind, SnpGeneration g) {
        uint64_t *begun = &d->refreshed[g][kind], msec, now = collateral_now();
        _cleanup_(collateral_request_done) CollateralRequest q = {};
        _cleanup_(snp_kds_kept_done) SnpKdsKept k = {};
        int64_t wall = (int64_t) time(NULL), period;
        CollateralDecision decision;
        int r = collateral_request_of(kind, g, &q);

        if (r >= 0)
                r = load(d, q.name, &k);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        period = period_of(d, &k, wall);
        if (wall - k.stored < period || (*begun > 0 && now - *begun < (uint64_t) period * 1000))
                return 0;
        *begun = now;
        return ask(d, &q, COLLATERAL_AHEAD, "", &decision, &msec);
}

/* What clients asked for once is downloaded again before it is overdue; the queue asks for a name once. */
static int refresh_file(CollateralDesk *d, const char *name, const TdPcsItem *item) {
        _cleanup_(collateral_request_done) CollateralRequest q = {};
        _cleanup_(snp_kds_kept_done) SnpKdsKept k = {};
        int64_t wall = (int64_t) time(NULL);
        CollateralDecision decision;
        uint64_t msec;
        int r = collateral_store_load(&d->store, name, &k);

        if (r >= 0 && wall - k.stored < period_of(d, &k, wall))
                return 0;
        if (r >= 0)
                r = collateral_request_intel(item, &q);
        if (r >= 0)
                r = ask(d, &q, COLLATERAL_AHEAD, "", &decision, &msec);
        return r == -ENOENT ? 0 : r;
}

static int refresh_intel(CollateralDesk *d) {
        _cleanup_strv_free_ char **list = NULL;
        int r = collateral_store_names(&d->store, &list, NULL);

        if (r < 0)
                return r == -ENOMEM ? r : 0;
        STRV_FOREACH(name, list) {
                TdPcsItem item;

                r = td_pcs_file_parse(*name, &item) < 0 ? 0 : refresh_file(d, *name, &item);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int refresh_all(CollateralDesk *d) {
        static const SnpKdsKind kinds[] = { SNP_KDS_VCEK_CRL, SNP_KDS_VLEK_CRL };
        uint64_t now = collateral_now();
        int r = 0;

        if (d->looked > 0 && now - d->looked < LOOK_MSEC)
                return 0;
        d->looked = MAX(now, UINT64_C(1));
        for (int g = 0; g < _SNP_GENERATION_MAX; g++)
                FOREACH_ARRAY(kind, kinds, ELEMENTSOF(kinds))
                        if (r >= 0)
                                r = refresh(d, *kind, (SnpGeneration) g);
        return r < 0 ? r : refresh_intel(d);
}

static size_t waiting(const CollateralDesk *d) {
        size_t n = 0;

        FOREACH_ARRAY(q, d->queues, ELEMENTSOF(d->queues))
                n += collateral_queue_length(q);
        return n;
}

int collateral_desk_ahead(CollateralDesk *d) {
        int r = refresh_all(d);

        for (unsigned i = 0; r >= 0 && i < AHEAD_TURN && d->ahead && d->ahead[d->next_ahead]; i++) {
                _cleanup_(collateral_request_done) CollateralRequest q = {};
                _cleanup_(snp_kds_kept_done) SnpKdsKept k = {};
                CollateralDecision decision;
                uint64_t msec;

                if (waiting(d) >= AHEAD_MAX)
                        return 0;
                r = collateral_request_parse(d->ahead[d->next_ahead++], &q, NULL);
                if (r >= 0)
                        r = load(d, q.name, &k);
                if (r == -ENOENT) {
                        r = want_companions(d, &q);
                        if (r >= 0)
                                r = ask(d, &q, COLLATERAL_AHEAD, "", &decision, &msec);
                }
        }
        return r;
}

static int text(HttpdAnswer *a, unsigned status, const char *body) {
        a->status = status;
        a->type = "text/plain; charset=utf-8";
        a->size = strlen(body);
        a->body = strdup(body);
        return a->body ? 0 : -ENOMEM;
}

static int later(HttpdAnswer *a, unsigned status, uint64_t msec, const char *body) {
        a->retry_after = (unsigned) MIN((msec + 999) / 1000, UINT64_C(86400));
        a->retry_after = MAX(a->retry_after, 1u);
        return text(a, status, body);
}

static bool *told(CollateralDesk *d, const CollateralRequest *q) {
        return q->service == COLLATERAL_INTEL ? &d->told_stale_intel[q->pcs.kind]
                                              : &d->told_stale[q->generation][q->kind];
}

static void tell_stale(CollateralDesk *d, const CollateralRequest *q, const SnpKdsKept *k) {
        if (!*told(d, q))
                log_warning("'%s' should have been updated at %s: it is handed out until --grace= is over",
                                q->name, date_text(k->next_update).text);
        *told(d, q) = true;
        d->n_stale++;
}

/* 1: answered; 0: what is in the cache is too old. */
static int hand_out(CollateralDesk *d, const CollateralRequest *q, SnpKdsKept *k, HttpdAnswer *a) {
        static const char *const types[] = {
                [SNP_KDS_VCEK] = "application/pkix-cert",
                [SNP_KDS_VCEK_CHAIN] = "application/x-pem-file",
                [SNP_KDS_VLEK_CHAIN] = "application/x-pem-file",
                [SNP_KDS_VCEK_CRL] = "application/pkix-crl",
                [SNP_KDS_VLEK_CRL] = "application/pkix-crl",
        };
        int64_t now = (int64_t) time(NULL), grace = (int64_t) (d->args->grace / 1000000);

        if (k->next_update < now && now - k->next_update > grace)
                return 0;
        if (k->next_update < now) {
                tell_stale(d, q, k);
                a->warning = "110 cvmspawn-collateral \"Response is Stale\"";
        } else {
                *told(d, q) = false;
                a->max_age = k->next_update == INT64_MAX
                                ? LEAF_AGE
                                : (unsigned) MIN(k->next_update - now, (int64_t) LIST_AGE);
        }
        a->status = 200;
        if (q->service == COLLATERAL_INTEL) {
                int r = collateral_intel_hand_out(q, k, a);

                return r < 0 ? r : 1;
        }
        a->type = types[q->kind];
        a->body = (char *) TAKE_PTR(k->data);
        a->size = k->size;
        return 1;
}

static int queue_up(CollateralDesk *d, const HttpdRequest *request, const CollateralRequest *q,
                HttpdAnswer *ret) {
        CollateralDecision decision;
        uint64_t msec;
        int r = want_companions(d, q);

        if (r >= 0)
                r = ask(d, q, turn_of(q), request->peer, &decision, &msec);
        if (r < 0)
                return r;
        if (decision == COLLATERAL_HAS_NOT)
                return text(ret, 404,
                                q->service == COLLATERAL_INTEL ? "Intel's PCS does not have it\n"
                                                               : "AMD's key service does not have it\n");
        if (decision == COLLATERAL_TOO_MANY)
                return later(ret, 429, msec, "too many requests are waiting\n");
        if (request->last || msec > d->args->patience / 1000)
                return later(ret, 429, msec, "it will be downloaded: ask again\n");
        (void) snprintf(ret->wait_key, sizeof(ret->wait_key), "%s", q->name);
        return HTTPD_WAIT;
}

static int mirror(CollateralDesk *d, const HttpdRequest *request, HttpdAnswer *ret) {
        _cleanup_(collateral_request_done) CollateralRequest q = {};
        _cleanup_(snp_kds_kept_done) SnpKdsKept k = {};
        _cleanup_free_ char *why = NULL;
        int r = collateral_request_parse(request->target, &q, &why);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return text(ret, r == -ENOENT ? 404 : 400, why ?: strerror(-r));
        r = load(d, q.name, &k);
        if (r >= 0)
                r = hand_out(d, &q, &k, ret);
        if (r != 0 && r != -ENOENT)
                return MIN(r, 0);
        if (d->ends > 0)
                return later(ret, 503, 1000, "the mirror is being restarted\n");
        if (d->args->offline)
                return text(ret, 503, "it is not in this mirror, which has no network\n");
        return queue_up(d, request, &q, ret);
}

/* https://github.com/OpenObservability/OpenMetrics: what monitoring reads. */
static int metrics(CollateralDesk *d, HttpdAnswer *ret) {
        const CollateralQueue *amd = &d->queues[COLLATERAL_AMD], *intel = &d->queues[COLLATERAL_INTEL];
        _cleanup_(text_done) Text t = {};
        int r;

        text_put(&t, "# TYPE cvmspawn_collateral_responses counter\n");
        for (unsigned i = 1; i < ELEMENTSOF(d->answered); i++)
                text_putf(&t, "cvmspawn_collateral_responses_total{status=\"%uxx\"} %" PRIu64 "\n", i,
                                d->answered[i]);
        text_putf(&t,
                        "# TYPE cvmspawn_collateral_downloads counter\n"
                        "cvmspawn_collateral_downloads_total{outcome=\"stored\"} %" PRIu64 "\n"
                        "cvmspawn_collateral_downloads_total{outcome=\"failed\"} %" PRIu64 "\n"
                        "# TYPE cvmspawn_collateral_intel_downloads counter\n"
                        "cvmspawn_collateral_intel_downloads_total{outcome=\"stored\"} %" PRIu64 "\n"
                        "cvmspawn_collateral_intel_downloads_total{outcome=\"failed\"} %" PRIu64 "\n"
                        "# TYPE cvmspawn_collateral_queue gauge\ncvmspawn_collateral_queue %zu\n"
                        "# TYPE cvmspawn_collateral_stale counter\ncvmspawn_collateral_stale_total %" PRIu64
                        "\n# EOF\n",
                        amd->n_fetched, amd->n_failed, intel->n_fetched, intel->n_failed, waiting(d),
                        d->n_stale);
        r = text_finish(&t, &ret->body);
        if (r < 0)
                return r;
        ret->status = 200;
        ret->type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ret->size = strlen(ret->body);
        return 0;
}

int collateral_desk_answer(void *userdata, const HttpdRequest *q, HttpdAnswer *ret) {
        CollateralDesk *d = userdata;
        int r;

        if (streq(q->target, "/metrics"))
                r = metrics(d, ret);
        else if (streq(q->target, "/healthz"))
                r = text(ret, 200, "ok\n");
        else
                r = mirror(d, q, ret);
        if (r == 0 && ret->status / 100 < ELEMENTSOF(d->answered))
                d->answered[ret->status / 100]++;
        return r;
}
