/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The limits of a launch where no event loop runs. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "run-guard.h"
#include "run-limits.h"
#include "run-show.h"
#include "spawn.h"
#include "strutil.h"

#define EXIT_TIMEOUT    124
#define AFTER_LOOP_USEC UINT64_C(1000000) /* where the event loop runs, it ends a set-up in better order */

/* What is read before the event loop runs may block: a credential's pipe that nobody writes to. --timeout= counts all the same. */
static int guard_time(const SpawnJob *job, const EventSink *events, char **reterr) {
        static const char cause[] = "--timeout= expired before the guest was started";
        const VmConfig *config = &job->config;
        _cleanup_free_ char *event = NULL, *message = NULL;
        Json *data = NULL;
        int r;

        if (config->timeout_usec == 0)
                return 0;
        if (asprintf(&message, "cvmspawn: %s\n", cause) < 0)
                return -ENOMEM;
        r = event_exit_data(&(const RunResult) { .source = EXIT_SOURCE_TIMEOUT, .status = EXIT_TIMEOUT },
                        cause, &data);
        if (r >= 0)
                r = event_text("exit", config->timeout_usec, data, &event);
        if (r < 0)
                return r;
        r = run_guard_start(&(const GuardSpec) {
                        .usec = config->timeout_usec,
                        .status = EXIT_TIMEOUT,
                        .message = message,
                        .log_fd = job->log.fd,
                        .event = event,
                        .event_fd = events->out ? events->out->fd : -EBADF,
        });
        return r < 0 ? error_set(reterr, r, "cannot start the timer of --timeout=: %s", strerror(-r)) : 0;
}

/* Nothing of what is done before the guest runs may take for ever. */
static int guard_progress(const SpawnJob *job, const EventSink *events, char **reterr) {
        _cleanup_free_ char *event = NULL, *message = NULL;
        uintmax_t seconds = run_set_up_usec / 1000000;
        Json *data = NULL;
        int r;

        if (asprintf(&message, "cvmspawn: " RUN_GIVEN_UP, seconds) < 0)
                return -ENOMEM;
        r = event_exit_data(&(const RunResult) { .source = EXIT_SOURCE_LAUNCHER, .status = EXIT_REFUSED },
                        "the launch was given up: nothing happened for too long", &data);
        if (r >= 0)
                r = event_text("exit", 0, data, &event);
        if (r < 0)
                return r;
        r = run_guard_watch(&(const GuardSpec) {
                        .usec = run_set_up_usec + AFTER_LOOP_USEC,
                        .status = EXIT_REFUSED,
                        .message = message,
                        .log_fd = job->log.fd,
                        .event = event,
                        .event_fd = events->out ? events->out->fd : -EBADF,
        });
        return r < 0 ? error_set(reterr, r, "cannot start the timer of the set-up: %s", strerror(-r)) : 0;
}

int spawn_guard(const SpawnJob *job, const EventSink *events, char **reterr) {
        int r = guard_time(job, events, reterr);

        return r < 0 ? r : guard_progress(job, events, reterr);
}

void spawn_show_progress(const SpawnJob *job) {
        const char *term = getenv("TERM");

        if (job->log.terminal && job->log.kind == OUTPUT_NONBLOCKING && !job->config.quiet && term &&
                        !streq(term, "dumb"))
                show_open(job->log.fd);
}
