/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is fetched next from AMD's key service, which allows an address about one request in ten seconds. PURE: the time comes in.
 *
 *      one thing is fetched once, however many ask for it;
 *      chains and revocation lists go first: without them nobody verifies anything; prefetch and refresh go last;
 *      clients take turns: with a hundred chips in the queue a client waits for one of another's, not for all;
 *      after a failure, or 429, the pause doubles, unless the key service names one;
 *      what the key service does not have is not asked for again for ten minutes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define COLLATERAL_ENTRIES_MAX   4096u
#define COLLATERAL_SHARE         1024u /* of one client */
#define COLLATERAL_NAME_MAX      192u
#define COLLATERAL_PATH_MAX      320u
#define COLLATERAL_CLIENT_MAX    64u
#define COLLATERAL_CLIENTS       64u
#define COLLATERAL_PAUSE_MSEC    UINT64_C(600000)  /* the longest, whatever the key service says */
#define COLLATERAL_UNKNOWN_MSEC  UINT64_C(600000)  /* what does not exist is not asked for again */
#define COLLATERAL_FORGET_MSEC   UINT64_C(3600000) /* nobody has asked again: no longer fetched */
#define COLLATERAL_INTERVAL_MSEC UINT64_C(10000)

typedef enum CollateralTurn {
        COLLATERAL_FIRST, /* chains, revocation lists */
        COLLATERAL_ASKED, /* leaves that somebody waits for */
        COLLATERAL_AHEAD, /* nobody waits */
        _COLLATERAL_TURN_MAX,
} CollateralTurn;

typedef enum CollateralState {
        COLLATERAL_FREE,
        COLLATERAL_QUEUED,
        COLLATERAL_FETCHING,
        COLLATERAL_UNKNOWN, /* the key service does not have it */
} CollateralState;

typedef struct CollateralEntry {
        CollateralState state;
        CollateralTurn turn;
        char name[COLLATERAL_NAME_MAX], path[COLLATERAL_PATH_MAX], client[COLLATERAL_CLIENT_MAX];
        uint64_t ticket, asked; /* order of arrival; when somebody asked last */
        unsigned failures;
} CollateralEntry;

typedef struct CollateralQueue {
        CollateralEntry *entries; /* owned; allocated on demand */
        size_t n_entries;
        uint64_t interval, not_before, tickets, served;
        unsigned failures; /* in sequence */
        struct {
                char client[COLLATERAL_CLIENT_MAX];
                uint64_t served; /* when it had its last turn */
        } clients[COLLATERAL_CLIENTS];
        uint64_t n_fetched, n_failed;
} CollateralQueue;

void collateral_queue_done(CollateralQueue *q);

typedef struct CollateralWish {
        const char *name, *path, *client;
        CollateralTurn turn;
} CollateralWish;

typedef enum CollateralDecision {
        COLLATERAL_WILL_FETCH, /* *ret_msec: about how long it takes */
        COLLATERAL_HAS_NOT,    /* the key service does not have it */
        COLLATERAL_TOO_MANY,   /* the queue is full, or the client's share of it */
} CollateralDecision;

/* Somebody needs it. Asking again keeps the place in the queue. -ENOMEM. */
_warn_unused_result_ int collateral_queue_ask(CollateralQueue *q, const CollateralWish *w, uint64_t now,
                CollateralDecision *ret, uint64_t *ret_msec);
/* What to fetch now, or NULL; then *ret_msec is when to look again (UINT64_MAX: when somebody asks). One at a time. */
const CollateralEntry *collateral_queue_next(CollateralQueue *q, uint64_t now, uint64_t *ret_msec);

typedef enum CollateralOutcome {
        COLLATERAL_STORED,
        COLLATERAL_ABSENT, /* 404 */
        COLLATERAL_LATER,  /* 429, an outage: again after `msec`, or 0 */
        COLLATERAL_WRONG,  /* an answer that is not what was asked for */
} CollateralOutcome;

/* How the fetch of this name ended. */
void collateral_queue_settle(CollateralQueue *q, const char *name, CollateralOutcome outcome, uint64_t msec,
                uint64_t now);
/* Entries that are queued or fetched. */
size_t collateral_queue_length(const CollateralQueue *q);
