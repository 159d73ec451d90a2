/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-guard.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define TEXT_MAX 1024u

/* A signal handler has no other way to its data. */
static struct {
        char message[TEXT_MAX], event[TEXT_MAX];
        int log_fd, event_fd, status;
} guard;

static void say(int fd, const char *text) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };

        /* At most PIPE_BUF bytes: a pipe that polls writable takes them at once. */
        if (fd >= 0 && *text && poll(&p, 1, 0) > 0 && write(fd, text, strlen(text)) < 0)
                return;
}

static _noreturn_ void on_alarm(_unused_ int sig) {
        say(guard.event_fd, guard.event);
        say(guard.log_fd, guard.message);
        _exit(guard.status);
}

static void copy(char *to, const char *text) {
        size_t n = text ? strlen(text) : 0;

        n = MIN(n, (size_t) TEXT_MAX - 1);
        memcpy(to, text ?: "", n);
        to[n] = 0;
}

int run_guard_start(const GuardSpec *spec) {
        const struct sigaction action = { .sa_handler = on_alarm };
        const struct itimerval time = {
                .it_value = { .tv_sec = (time_t) (spec->usec / 1000000),
                                .tv_usec = (suseconds_t) (spec->usec % 1000000) },
        };
        sigset_t set;

        run_guard_stop();
        copy(guard.message, spec->message);
        copy(guard.event, spec->event);
        guard.log_fd = spec->log_fd;
        guard.event_fd = spec->event ? spec->event_fd : -EBADF;
        guard.status = spec->status;
        if (sigaction(SIGALRM, &action, NULL) < 0 || sigemptyset(&set) < 0 || sigaddset(&set, SIGALRM) < 0 ||
                        sigprocmask(SIG_UNBLOCK, &set, NULL) < 0 || setitimer(ITIMER_REAL, &time, NULL) < 0)
                return -errno;
        return 0;
}

void run_guard_stop(void) {
        const struct itimerval never = {};

        (void) setitimer(ITIMER_REAL, &never, NULL);
}
