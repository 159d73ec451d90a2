/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ends this process where no event loop can: in a read(2) of a pipe without a writer, in a file system that does not answer. Children die
 * with it, a terminal is restored. */

#include <stdbool.h>
#include <stdint.h>

#include "macro.h"

struct termios;

typedef struct GuardSpec {
        uint64_t usec;       /* from now */
        int status;          /* exit status */
        const char *message; /* copied; to log_fd, without waiting. NULL: none */
        int log_fd;
        const char *event; /* copied; NULL: none. A "time" in it (RFC 3339, with microseconds) becomes that of the end */
        int event_fd;
} GuardSpec;

/* After `usec`, whatever happens. Starting another one replaces it. Children do not inherit it. */
_warn_unused_result_ int run_guard_start(const GuardSpec *spec);
void run_guard_stop(void);
/* The event loop watches the time now, and ends in better order: the guard comes so much later. */
void run_guard_postpone(uint64_t usec);
/* The event loop takes the signals now, which are blocked: one that it does not take for a second ends this process with 128+n. Until
 * run_guard_unwatch(). */
void run_guard_signals(void);

/* Beside it: after `usec` without progress (progress.h), which `message` says before what was done then. */
_warn_unused_result_ int run_guard_watch(const GuardSpec *spec);
void run_guard_unwatch(void);

/* What the terminal on standard input was like: copied. NULL: leave it alone. */
void run_guard_terminal(const struct termios *saved);
