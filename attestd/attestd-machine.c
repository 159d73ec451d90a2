/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-machine.h"

#include <assert.h>

/* One more than the state, so that an empty cell is 0. */
#define TO(state) ((state) + 1)

static const int table[_LAUNCH_STATE_MAX][_LAUNCH_EVENT_MAX] = {
        [LAUNCH_OPEN] = {
                [LAUNCH_EVENT_REFUSE] = TO(LAUNCH_OPEN),
                [LAUNCH_EVENT_BURN] = TO(LAUNCH_BURNED),
                [LAUNCH_EVENT_HOLD] = TO(LAUNCH_HELD),
                [LAUNCH_EVENT_REJECT] = TO(LAUNCH_BURNED),
                [LAUNCH_EVENT_RELEASE] = TO(LAUNCH_RELEASED),
                [LAUNCH_EVENT_EXPIRE] = TO(LAUNCH_GONE),
                [LAUNCH_EVENT_EVICT] = TO(LAUNCH_GONE),
                [LAUNCH_EVENT_CANCEL] = TO(LAUNCH_GONE),
        },
        [LAUNCH_HELD] = {
                [LAUNCH_EVENT_REFUSE] = TO(LAUNCH_HELD),
                [LAUNCH_EVENT_BURN] = TO(LAUNCH_BURNED),
                [LAUNCH_EVENT_CONFIRM] = TO(LAUNCH_CONFIRMED),
                [LAUNCH_EVENT_REJECT] = TO(LAUNCH_BURNED),
                [LAUNCH_EVENT_RELEASE] = TO(LAUNCH_RELEASED),
                [LAUNCH_EVENT_EXPIRE] = TO(LAUNCH_GONE),
                [LAUNCH_EVENT_CANCEL] = TO(LAUNCH_GONE),
        },
        [LAUNCH_CONFIRMED] = {
                [LAUNCH_EVENT_REFUSE] = TO(LAUNCH_CONFIRMED),
                [LAUNCH_EVENT_BURN] = TO(LAUNCH_BURNED),
                [LAUNCH_EVENT_REJECT] = TO(LAUNCH_BURNED),
                [LAUNCH_EVENT_RELEASE] = TO(LAUNCH_RELEASED),
                [LAUNCH_EVENT_EXPIRE] = TO(LAUNCH_GONE),
                [LAUNCH_EVENT_CANCEL] = TO(LAUNCH_GONE),
        },
        [LAUNCH_RELEASED] = {
                [LAUNCH_EVENT_REFUSE] = TO(LAUNCH_RELEASED),
                [LAUNCH_EVENT_EXPIRE] = TO(LAUNCH_GONE),
        },
        [LAUNCH_BURNED] = {
                [LAUNCH_EVENT_EXPIRE] = TO(LAUNCH_GONE),
        },
};

static const LaunchEffect effects[] = {
        [LAUNCH_EVENT_REFUSE] = { .audit = "refused", .is_failure = true },
        [LAUNCH_EVENT_BURN] = { .audit = "burned", .deletes_keys = true, .is_failure = true },
        [LAUNCH_EVENT_HOLD] = { .audit = "held", .restarts_clock = true },
        [LAUNCH_EVENT_CONFIRM] = { .audit = "confirmed", .restarts_clock = true },
        [LAUNCH_EVENT_REJECT] = { .audit = "rejected", .restarts_clock = true, .deletes_keys = true },
        [LAUNCH_EVENT_RELEASE] = { .audit = "released", .deletes_keys = true },
        [LAUNCH_EVENT_EXPIRE] = { .audit = "expired" },
        [LAUNCH_EVENT_EVICT] = {},
        [LAUNCH_EVENT_CANCEL] = {},
};
static_assert(ELEMENTSOF(effects) == _LAUNCH_EVENT_MAX, "every event has its effect");

int launch_next(LaunchState from, LaunchEvent event) {
        if ((int) from < 0 || from >= _LAUNCH_STATE_MAX || (int) event < 0 || event >= _LAUNCH_EVENT_MAX)
                return -EINVAL;
        return table[from][event] == 0 ? -ESTALE : table[from][event] - 1;
}

bool launch_counts_failures(LaunchState state) {
        return launch_next(state, LAUNCH_EVENT_BURN) >= 0;
}

bool launch_is_pending(LaunchState state) {
        return launch_next(state, LAUNCH_EVENT_CANCEL) >= 0;
}

const LaunchEffect *launch_effect(LaunchEvent event) {
        assert((int) event >= 0 && event < _LAUNCH_EVENT_MAX);
        return effects + event;
}

const char *launch_state_to_string(LaunchState state) {
        static const char *const names[] = {
                [LAUNCH_OPEN] = "open",
                [LAUNCH_RELEASED] = "released",
                [LAUNCH_BURNED] = "burned",
                [LAUNCH_HELD] = "held",
                [LAUNCH_CONFIRMED] = "confirmed",
        };
        static_assert(ELEMENTSOF(names) == _LAUNCH_STATE_MAX, "every state has a name");

        return (int) state >= 0 && state < _LAUNCH_STATE_MAX ? names[state] : NULL;
}
