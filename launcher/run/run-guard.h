/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Ends this process where no event loop can: in a read(2) of a pipe without a writer, in a library that does not return. */

#include <stdint.h>

#include "macro.h"

typedef struct GuardSpec {
        uint64_t usec;       /* from now */
        int status;          /* exit status */
        const char *message; /* copied; to log_fd, without waiting */
        int log_fd;
        const char *event; /* copied; NULL: none */
        int event_fd;
} GuardSpec;

/* One at a time: starting another one replaces it. Children do not inherit it. */
_warn_unused_result_ int run_guard_start(const GuardSpec *spec);
void run_guard_stop(void);
