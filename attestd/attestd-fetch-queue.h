/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which certificates are asked for at AMD's key service, and when. Requests come from anybody, and names of chips can be invented, so:
 *
 *      an address has at most FETCH_SHARE of the FETCH_PENDING_MAX requests that are under way;
 *      what the key service does not have is not asked for again for FETCH_FAILED_SECONDS;
 *      an address whose requests fail waits after each failure twice as long as before, up to FETCH_FAILED_SECONDS;
 *      when the key service says that it is asked too often, nobody asks until the time that it names. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define FETCH_WHAT_MAX       448u /* a chip's id, or name and path of a certificate, with that id in both */
#define FETCH_ENTRIES        64u
#define FETCH_ADDRESSES      256u
#define FETCH_PEER_MAX       46u /* an address as text */
#define FETCH_PENDING_MAX    8u
#define FETCH_SHARE          3u /* SEV-SNP: leaf, chain and revocation list */
#define FETCH_FAILED_SECONDS 300
#define FETCH_AGAIN_SECONDS  2u  /* when to ask again for what is under way */
#define FETCH_LATER_MAX      600 /* that a key service can make us wait */

typedef enum FetchDecision {
        FETCH_UNAVAILABLE, /* it is not there */
        FETCH_WAIT,        /* come again later */
        FETCH_SEND,        /* ask for it now, and come again later */
        _FETCH_DECISION_MAX,
} FetchDecision;

typedef enum FetchOutcome {
        FETCH_DONE,
        FETCH_FAILED,
        FETCH_LATER, /* the key service does not answer now */
        _FETCH_OUTCOME_MAX,
} FetchOutcome;

typedef struct FetchQueue {
        struct {
                char what[FETCH_WHAT_MAX + 1]; /* "": no entry */
                char peer[FETCH_PEER_MAX];     /* who asked first */
                int64_t failed;                /* when; 0: under way */
        } entries[FETCH_ENTRIES];
        struct {
                char peer[FETCH_PEER_MAX];
                unsigned failures; /* 0: no entry */
                int64_t last;      /* failure */
        } addresses[FETCH_ADDRESSES];
        size_t n_pending;
        int64_t not_before;
} FetchQueue;

/* peer: an address, "" if there is none. *ret_seconds is when to come again, with FETCH_WAIT and FETCH_SEND. */
FetchDecision fetch_queue_ask(
                FetchQueue *q, const char *what, const char *peer, int64_t now, unsigned *ret_seconds);
/* What came of a request; seconds: with FETCH_LATER. Unknown ones are ignored. */
void fetch_queue_answer(FetchQueue *q, const char *what, FetchOutcome outcome, int64_t seconds, int64_t now);
/* A request that could not be sent after all. */
void fetch_queue_forget(FetchQueue *q, const char *what);
