/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "libvirt-limit.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "libvirt-client.h"
#include "log.h"
#include "macro.h"

#define SECOND        UINT64_C(1000000)
#define DEFAULT_LIMIT (300 * SECOND) /* a large guest's memory is pinned while it starts */

static struct {
        uint64_t usec;
        int status;
        char sentence[256]; /* ready before it is needed: a signal handler formats nothing */
        size_t length;
} limit = { .usec = DEFAULT_LIMIT, .status = EXIT_FAILURE };

void libvirt_set_limit(uint64_t usec, int exit_status) {
        limit.usec = usec;
        limit.status = exit_status;
}

_noreturn_ static void expired(_unused_ int signal) {
        ssize_t n = write(STDERR_FILENO, limit.sentence, limit.length);

        (void) n; /* it ends in any case */
        _exit(limit.status);
}

static void set_timer(uint64_t usec) {
        const struct itimerval t = {
                .it_value = { .tv_sec = (time_t) (usec / SECOND), .tv_usec = (suseconds_t) (usec % SECOND) },
        };

        (void) setitimer(ITIMER_REAL, &t, NULL);
}

void libvirt_limit_begin(const char *name) {
        struct sigaction action = { .sa_handler = expired };
        sigset_t alarm_only;
        int n;

        if (limit.usec == 0)
                return;
        n = snprintf(limit.sentence, sizeof(limit.sentence),
                        "%s: libvirt did not answer %s within %" PRIu64
                        " s; see what its daemon does, and whether the domain is paused (virsh list)\n",
                        log_name(), name, (limit.usec + SECOND - 1) / SECOND);
        limit.length = n < 0 ? 0 : MIN((size_t) n, sizeof(limit.sentence) - 1);
        (void) sigemptyset(&alarm_only);
        (void) sigaddset(&alarm_only, SIGALRM);
        (void) sigaction(SIGALRM, &action, NULL);
        (void) sigprocmask(SIG_UNBLOCK, &alarm_only, NULL);
        set_timer(limit.usec);
}

void libvirt_limit_end(void) {
        if (limit.usec > 0)
                set_timer(0);
}
