/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "collateral-queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "strutil.h"

#define DOUBLINGS_MAX   6u /* 64 times the interval */
#define WRONG_MAX       3u /* answers, then the entry goes: clients that still need it ask again */
#define ENTRIES_AT_ONCE 64u

void collateral_queue_done(CollateralQueue *q) {
        free(q->entries);
        *q = (CollateralQueue) {};
}

static bool is_pending(const CollateralEntry *e) {
        return e->state == COLLATERAL_QUEUED || e->state == COLLATERAL_FETCHING;
}

static CollateralEntry *find(CollateralQueue *q, const char *name) {
        FOREACH_ARRAY(e, q->entries, q->n_entries)
                if (e->state != COLLATERAL_FREE && streq(e->name, name))
                        return e;
        return NULL;
}

/* Entries that nobody needs any more make room. */
static void forget(CollateralQueue *q, uint64_t now) {
        FOREACH_ARRAY(e, q->entries, q->n_entries) {
                uint64_t age = now > e->asked ? now - e->asked : 0;

                if ((e->state == COLLATERAL_UNKNOWN && age >= COLLATERAL_UNKNOWN_MSEC) ||
                                (e->state == COLLATERAL_QUEUED && e->turn == COLLATERAL_ASKED &&
                                                age >= COLLATERAL_FORGET_MSEC))
                        e->state = COLLATERAL_FREE;
        }
}

/* A free entry; else that of what has been known the longest not to exist; NULL: all are needed. *ret_error: -ENOMEM. */
static CollateralEntry *make_room(CollateralQueue *q, int *ret_error) {
        CollateralEntry *oldest = NULL, *bigger;
        size_t n = MIN(q->n_entries + ENTRIES_AT_ONCE, (size_t) COLLATERAL_ENTRIES_MAX);

        FOREACH_ARRAY(e, q->entries, q->n_entries) {
                if (e->state == COLLATERAL_FREE)
                        return e;
                if (e->state == COLLATERAL_UNKNOWN && (!oldest || e->asked < oldest->asked))
                        oldest = e;
        }
        if (n == q->n_entries)
                return oldest;
        bigger = realloc(q->entries, n * sizeof(CollateralEntry));
        if (!bigger) {
                *ret_error = -ENOMEM;
                return NULL;
        }
        memset(bigger + q->n_entries, 0, (n - q->n_entries) * sizeof(CollateralEntry));
        q->entries = bigger;
        oldest = bigger + q->n_entries;
        q->n_entries = n;
        return oldest;
}

static size_t count(const CollateralQueue *q, const char *client) {
        size_t n = 0;

        FOREACH_ARRAY(e, q->entries, q->n_entries)
                n += is_pending(e) && (!client || streq(e->client, client));
        return n;
}

size_t collateral_queue_length(const CollateralQueue *q) {
        return count(q, NULL);
}

/* When a client had its last turn: 0 never, or so long ago that it was forgotten. */
static uint64_t last_turn(const CollateralQueue *q, const char *client) {
        FOREACH_ARRAY(c, q->clients, COLLATERAL_CLIENTS)
                if (c->served > 0 && streq(c->client, client))
                        return c->served;
        return 0;
}

static void note_turn(CollateralQueue *q, const char *client) {
        size_t to = 0;

        for (size_t i = 0; i < COLLATERAL_CLIENTS; i++) {
                if (q->clients[i].served > 0 && streq(q->clients[i].client, client)) {
                        to = i;
                        break;
                }
                if (q->clients[i].served < q->clients[to].served)
                        to = i;
        }
        (void) memcpy(q->clients[to].client, client, strlen(client) + 1);
        q->clients[to].served = ++q->served;
}

/* About when this entry has been fetched: those before it, an interval each. */
static uint64_t estimate(const CollateralQueue *q, const CollateralEntry *e, uint64_t now) {
        uint64_t before = 1;

        FOREACH_ARRAY(x, q->entries, q->n_entries)
                before += is_pending(x) && x != e &&
                                (x->turn < e->turn || (x->turn == e->turn && x->ticket < e->ticket));
        return (q->not_before > now ? q->not_before - now : 0) + before * q->interval;
}

int collateral_queue_ask(CollateralQueue *q, const CollateralWish *w, uint64_t now, CollateralDecision *ret,
                uint64_t *ret_msec) {
        CollateralEntry *e = find(q, w->name);
        int r = 0;

        *ret = COLLATERAL_TOO_MANY;
        *ret_msec = q->interval;
        if (e && e->state == COLLATERAL_UNKNOWN && now - e->asked < COLLATERAL_UNKNOWN_MSEC) {
                *ret = COLLATERAL_HAS_NOT;
                return 0;
        }
        if (!e || e->state == COLLATERAL_UNKNOWN) {
                if (strlen(w->name) >= COLLATERAL_NAME_MAX || strlen(w->path) >= COLLATERAL_PATH_MAX ||
                                strlen(w->client) >= COLLATERAL_CLIENT_MAX)
                        return 0;
                forget(q, now);
                if (w->turn != COLLATERAL_FIRST && count(q, w->client) >= COLLATERAL_SHARE)
                        return 0;
                e = make_room(q, &r);
                if (!e)
                        return r;
                *e = (CollateralEntry) {
                        .state = COLLATERAL_QUEUED, .turn = w->turn, .ticket = ++q->tickets
                };
                (void) memcpy(e->name, w->name, strlen(w->name) + 1);
                (void) memcpy(e->path, w->path, strlen(w->path) + 1);
                (void) memcpy(e->client, w->client, strlen(w->client) + 1);
        }
        /* Now somebody waits for what was only fetched ahead. */
        if (w->turn < e->turn) {
                e->turn = w->turn;
                (void) memcpy(e->client, w->client, MIN(strlen(w->client) + 1, sizeof(e->client)));
                e->client[sizeof(e->client) - 1] = 0;
        }
        e->asked = now;
        *ret = COLLATERAL_WILL_FETCH;
        *ret_msec = estimate(q, e, now);
        return 0;
}

static bool goes_before(const CollateralQueue *q, const CollateralEntry *a, const CollateralEntry *b) {
        uint64_t turn_a, turn_b;

        if (a->turn != b->turn)
                return a->turn < b->turn;
        turn_a = last_turn(q, a->client);
        turn_b = last_turn(q, b->client);
        return turn_a != turn_b ? turn_a < turn_b : a->ticket < b->ticket;
}

const CollateralEntry *collateral_queue_next(CollateralQueue *q, uint64_t now, uint64_t *ret_msec) {
        CollateralEntry *best = NULL;

        *ret_msec = UINT64_MAX;
        forget(q, now);
        FOREACH_ARRAY(e, q->entries, q->n_entries) {
                if (e->state == COLLATERAL_FETCHING)
                        return NULL;
                if (e->state == COLLATERAL_QUEUED && (!best || goes_before(q, e, best)))
                        best = e;
        }
        if (!best)
                return NULL;
        if (now < q->not_before) {
                *ret_msec = q->not_before - now;
                return NULL;
        }
        best->state = COLLATERAL_FETCHING;
        if (best->turn == COLLATERAL_ASKED)
                note_turn(q, best->client);
        q->not_before = now + q->interval;
        return best;
}

void collateral_queue_settle(CollateralQueue *q, const char *name, CollateralOutcome outcome, uint64_t msec,
                uint64_t now) {
        CollateralEntry *e = find(q, name);
        bool failed = outcome == COLLATERAL_LATER || outcome == COLLATERAL_WRONG;
        uint64_t pause = q->interval;

        if (!e || e->state != COLLATERAL_FETCHING)
                return;
        q->n_fetched += outcome == COLLATERAL_STORED;
        q->n_failed += failed;
        q->failures = failed ? MIN(q->failures + 1, DOUBLINGS_MAX) : 0;
        if (failed)
                pause = msec ?: q->interval << q->failures;
        pause = MIN(pause, COLLATERAL_PAUSE_MSEC);
        q->not_before = MAX(q->not_before, now + pause);
        if (outcome == COLLATERAL_LATER) {
                e->state = COLLATERAL_QUEUED; /* keeps its place */
                return;
        }
        if (outcome == COLLATERAL_WRONG && ++e->failures < WRONG_MAX) {
                e->state = COLLATERAL_QUEUED;
                e->ticket = ++q->tickets; /* behind the others: maybe it is the only wrong one */
                return;
        }
        e->state = outcome == COLLATERAL_ABSENT ? COLLATERAL_UNKNOWN : COLLATERAL_FREE;
        e->asked = now;
}
