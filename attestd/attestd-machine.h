/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The life of a launch, as one table of states and events: the store makes no other change of state. A cell is the next state, GONE (the
 * row is deleted), or nothing: the event is then refused with -ESTALE.
 *
 *                 refuse     burn    hold  confirm    reject  release   expire  evict  cancel
 *      open       open       burned  held             burned  released  gone    gone   gone
 *      held       held       burned        confirmed  burned  released  gone           gone
 *      confirmed  confirmed  burned                   burned  released  gone           gone
 *      released   released                                              gone
 *      burned                                                           gone
 *
 * Invariants (tests/unit/test-attestd-machine.c runs random events against them):
 *      a released launch stays released until no limit counts it any more, whatever is sent to it;
 *      a launch has at most one packet, and its keys are deleted in the same transaction;
 *      without its owner's confirmation no launch is released beyond max-instances in instance-window;
 *      every release has its event in the audit log, in the same transaction. */

#include <errno.h>
#include <stdbool.h>

#include "macro.h"

/* The numbers are those in databases. */
typedef enum LaunchState {
        LAUNCH_OPEN,      /* its session was given out */
        LAUNCH_RELEASED,  /* its secrets were given out: final; the packet is kept, the keys are deleted */
        LAUNCH_BURNED,    /* too many failures, or rejected by the owner */
        LAUNCH_HELD,      /* its evidence was accepted, but it is beyond the limit: waits for the owner */
        LAUNCH_CONFIRMED, /* by the owner: may have its secrets beyond the limit */
        _LAUNCH_STATE_MAX,
        _LAUNCH_STATE_INVALID = -EINVAL,
} LaunchState;

typedef enum LaunchEvent {
        LAUNCH_EVENT_REFUSE,  /* wrong evidence */
        LAUNCH_EVENT_BURN,    /* wrong evidence, for the last time that is tolerated */
        LAUNCH_EVENT_HOLD,    /* good evidence beyond the limit */
        LAUNCH_EVENT_CONFIRM, /* by the owner */
        LAUNCH_EVENT_REJECT,  /* by the owner */
        LAUNCH_EVENT_RELEASE, /* good evidence within the limit, or after confirmation */
        LAUNCH_EVENT_EXPIRE,  /* by age */
        LAUNCH_EVENT_EVICT,   /* too many are open */
        LAUNCH_EVENT_CANCEL,  /* its registration was replaced */
        _LAUNCH_EVENT_MAX,
        _LAUNCH_EVENT_INVALID = -EINVAL,
} LaunchEvent;

/* What an event changes besides the state. */
typedef struct LaunchEffect {
        const char *audit;   /* name in the log of events, or NULL: not logged */
        bool restarts_clock; /* the time since when it waits for its owner, or for its host */
        bool deletes_keys;
        bool is_failure; /* counts, unless the launch is final */
} LaunchEffect;

#define LAUNCH_GONE _LAUNCH_STATE_MAX

/* The next state, maybe LAUNCH_GONE; -ESTALE: the event is not possible in this state. */
_warn_unused_result_ int launch_next(LaunchState from, LaunchEvent event);
/* A failure counts unless the launch is final. */
bool launch_counts_failures(LaunchState state);
/* Without its secrets yet, and not ended. */
bool launch_is_pending(LaunchState state);
const LaunchEffect *launch_effect(LaunchEvent event);
/* "open", "released", ... */
const char *launch_state_to_string(LaunchState state);
