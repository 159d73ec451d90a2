/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-fetch-queue.h"

#include <assert.h>
#include <string.h>

#include "strutil.h"

static_assert(FETCH_PENDING_MAX < FETCH_ENTRIES, "one entry is always free or failed");

typedef __typeof__(((FetchQueue *) NULL)->entries[0]) Entry;
typedef __typeof__(((FetchQueue *) NULL)->addresses[0]) Address;

static Entry *find(FetchQueue *q, const char *what) {
        FOREACH_ARRAY(e, q->entries, FETCH_ENTRIES)
                if (streq(e->what, what))
                        return e;
        return NULL;
}

static Address *find_address(FetchQueue *q, const char *peer) {
        FOREACH_ARRAY(a, q->addresses, FETCH_ADDRESSES)
                if (a->failures > 0 && streq(a->peer, peer))
                        return a;
        return NULL;
}

/* A free entry, or that of the oldest failure. */
static Entry *make_room(FetchQueue *q) {
        Entry *oldest = NULL;

        FOREACH_ARRAY(e, q->entries, FETCH_ENTRIES) {
                if (!e->what[0])
                        return e;
                if (e->failed > 0 && (!oldest || e->failed < oldest->failed))
                        oldest = e;
        }
        return oldest;
}

static unsigned pending_of(const FetchQueue *q, const char *peer) {
        unsigned n = 0;

        FOREACH_ARRAY(e, q->entries, FETCH_ENTRIES)
                n += e->what[0] && e->failed == 0 && streq(e->peer, peer);
        return n;
}

/* Seconds until this address may ask again. A clock that went back does not make it wait longer than the limit. */
static int64_t penalty(FetchQueue *q, const char *peer, int64_t now) {
        const Address *a = find_address(q, peer);
        int64_t wait, passed;

        if (!a)
                return 0;
        wait = MIN(INT64_C(1) << a->failures, (int64_t) FETCH_FAILED_SECONDS);
        passed = now - a->last;
        return passed < 0 || passed >= wait ? 0 : wait - passed;
}

FetchDecision fetch_queue_ask(
                FetchQueue *q, const char *what, const char *peer, int64_t now, unsigned *ret_seconds) {
        int64_t wait;
        Entry *e;

        if (!what[0] || strlen(what) > FETCH_WHAT_MAX || strlen(peer) >= FETCH_PEER_MAX)
                return FETCH_UNAVAILABLE;
        *ret_seconds = FETCH_AGAIN_SECONDS;
        e = find(q, what);
        if (e && e->failed == 0)
                return FETCH_WAIT;
        if (e && now >= e->failed && now - e->failed < FETCH_FAILED_SECONDS)
                return FETCH_UNAVAILABLE;
        wait = MAX(q->not_before - now, penalty(q, peer, now));
        if (wait > 0) {
                *ret_seconds = (unsigned) MIN(wait, (int64_t) FETCH_LATER_MAX);
                return FETCH_WAIT;
        }
        if (q->n_pending >= FETCH_PENDING_MAX || pending_of(q, peer) >= FETCH_SHARE)
                return FETCH_WAIT;
        if (!e)
                e = make_room(q);
        assert(e);
        *e = (Entry) {};
        memcpy(e->what, what, strlen(what));
        memcpy(e->peer, peer, strlen(peer));
        q->n_pending++;
        return FETCH_SEND;
}

/* One more failure of this address; in a full table it takes the place of the one whose last failure is the longest ago. */
static void strike(FetchQueue *q, const char *peer, int64_t now) {
        Address *a = find_address(q, peer);

        if (!a) {
                a = q->addresses;
                FOREACH_ARRAY(x, q->addresses, FETCH_ADDRESSES)
                        if (x->failures == 0 || (a->failures > 0 && x->last < a->last))
                                a = x;
                *a = (Address) {};
                memcpy(a->peer, peer, strlen(peer));
        }
        if (now - a->last > FETCH_FAILED_SECONDS)
                a->failures = 0;
        a->failures = MIN(a->failures + 1, 9u);
        a->last = now;
}

void fetch_queue_answer(
                FetchQueue *q, const char *what, FetchOutcome outcome, int64_t seconds, int64_t now) {
        Entry *e = find(q, what);

        if (!what[0] || !e || e->failed != 0)
                return;
        q->n_pending--;
        if (outcome == FETCH_FAILED) {
                e->failed = MAX(now, (int64_t) 1);
                strike(q, e->peer, now);
                return;
        }
        if (outcome == FETCH_LATER) {
                int64_t until = now + MIN(seconds, (int64_t) FETCH_LATER_MAX);

                q->not_before = MAX(q->not_before, until);
        }
        *e = (Entry) {};
}

void fetch_queue_forget(FetchQueue *q, const char *what) {
        Entry *e = find(q, what);

        if (!what[0] || !e || e->failed != 0)
                return;
        q->n_pending--;
        *e = (Entry) {};
}
