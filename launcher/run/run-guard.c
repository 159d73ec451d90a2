/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A thread that does nothing but wait. A signal handler would not do: who reads a file of a server that is gone hears of no signal but
 * those that kill. It takes no lock and allocates nothing, so that children may be forked beside it; it ends before the launcher confines
 * itself, which is done by thread. */

#include "run-guard.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"
#include "run-show.h"

#define TEXT_MAX    1024u
#define STACK_SIZE  (64u * 1024u)
#define SIGNAL_USEC UINT64_C(1000000) /* longer than the event loop needs, copying files included */
#define TIME_START  "\"time\":\""
#define TIME_SIZE   27u /* 2026-01-31T12:00:00.123456Z */

typedef struct Guard {
        _Atomic uint64_t end; /* CLOCK_MONOTONIC, microseconds; 0: off, and the rest may be written */
        char message[TEXT_MAX], event[TEXT_MAX];
        int log_fd, event_fd, status;
} Guard;

static struct {
        Guard limit, watch;
        uint64_t patience; /* of the watch */
        pthread_t thread;
        bool running;
        sem_t wake;
        atomic_bool signals;
        uint64_t pending[4]; /* since when; of ending[] */
        struct termios saved;
        atomic_bool terminal;
} guard;

static uint64_t now_usec(clockid_t clock) {
        struct timespec ts = {};

        (void) clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

static void say(int fd, const char *text) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };

        /* At most PIPE_BUF bytes: a pipe that polls writable takes them at once. */
        if (fd >= 0 && *text && poll(&p, 1, 0) > 0 && write(fd, text, strlen(text)) < 0)
                return;
}

static char *put_number(char *to, uint64_t value, unsigned digits, char behind) {
        for (unsigned i = digits; i > 0; i--, value /= 10)
                to[i - 1] = (char) ('0' + value % 10);
        to[digits] = behind;
        return to + digits + 1;
}

static bool is_leap(uint64_t year) {
        return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* gmtime_r(3) takes locks. Counted from March 2000, so that a leap day ends its year. */
static void put_time(char *to, uint64_t usec) {
        static const uint16_t before[] = { 0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337 };
        const uint64_t seconds = usec / 1000000;
        uint64_t day = seconds / 86400 - 11017, year, month = 11;

        for (year = 2000; day >= 365u + is_leap(year + 1); year++)
                day -= 365u + is_leap(year + 1);
        while (before[month] > day)
                month--;
        to = put_number(to, year + (month >= 10), 4, '-');
        to = put_number(to, (month + 2) % 12 + 1, 2, '-');
        to = put_number(to, day - before[month] + 1, 2, 'T');
        to = put_number(to, seconds / 3600 % 24, 2, ':');
        to = put_number(to, seconds / 60 % 60, 2, ':');
        to = put_number(to, seconds % 60, 2, '.');
        (void) put_number(to, usec % 1000000, 6, 'Z');
}

static _noreturn_ void end(Guard *g, const char *doing) {
        char *time = strstr(g->event, TIME_START);

        show_close();
        if (atomic_load(&guard.terminal))
                (void) tcsetattr(STDIN_FILENO, TCSANOW, &guard.saved);
        if (time && strlen(time + strlen(TIME_START)) > TIME_SIZE)
                put_time(time + strlen(TIME_START), now_usec(CLOCK_REALTIME));
        say(g->event_fd, g->event);
        if (doing) {
                size_t n = strlen(g->message), k = strlen(doing);

                k = MIN(k, (size_t) TEXT_MAX - 2 - n);
                memcpy(g->message + n, doing, k);
                memcpy(g->message + n + k, "\n", 2);
        }
        say(g->log_fd, g->message);
        _exit(g->status);
}

/* A signal that the event loop does not take: it waits in a call that does not return. */
static void check_signals(uint64_t now) {
        static const int ending[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
        sigset_t set;

        if (sigpending(&set) < 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(ending); i++) {
                if (sigismember(&set, ending[i]) <= 0)
                        guard.pending[i] = 0;
                else if (guard.pending[i] == 0)
                        guard.pending[i] = now;
                else if (now - guard.pending[i] >= SIGNAL_USEC) {
                        if (atomic_load(&guard.terminal))
                                (void) tcsetattr(STDIN_FILENO, TCSANOW, &guard.saved);
                        _exit(128 + ending[i]);
                }
        }
}

/* When there may be something to do; 0: the thread is not needed any more. */
static uint64_t next_end(void) {
        uint64_t limit = atomic_load(&guard.limit.end), watch = atomic_load(&guard.watch.end);

        if (limit == 0 && watch == 0)
                return 0;
        if (limit > 0 && now_usec(CLOCK_MONOTONIC) >= limit)
                end(&guard.limit, NULL);
        if (watch > 0)
                watch = progress_usec() + guard.patience;
        if (watch > 0 && now_usec(CLOCK_MONOTONIC) >= watch)
                end(&guard.watch, progress_doing());
        if (limit == 0 || (watch > 0 && watch < limit))
                limit = watch;
        show_now();
        if (show_is_open())
                limit = MIN(limit, now_usec(CLOCK_MONOTONIC) + SHOW_USEC);
        if (atomic_load(&guard.signals)) {
                uint64_t now = now_usec(CLOCK_MONOTONIC);

                check_signals(now);
                limit = MIN(limit, now + SIGNAL_USEC / 2);
        }
        return limit;
}

static void *guard_main(_unused_ void *userdata) {
        uint64_t next;

        while ((next = next_end()) > 0) {
                const struct timespec until = { .tv_sec = (time_t) (next / 1000000),
                        .tv_nsec = (long) (next % 1000000 * 1000) };

                /* Woken when an end has changed. */
                (void) sem_clockwait(&guard.wake, CLOCK_MONOTONIC, &until);
        }
        return NULL;
}

static int start_thread(void) {
        pthread_attr_t attributes;
        sigset_t all, before;
        int r;

        if (sem_init(&guard.wake, /* pshared= */ 0, 0) < 0 || sigfillset(&all) < 0)
                return -errno;
        r = pthread_attr_init(&attributes);
        if (r != 0)
                return -r;
        r = pthread_attr_setstacksize(&attributes, STACK_SIZE);
        if (r == 0)
                r = pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r == 0) {
                r = pthread_create(&guard.thread, &attributes, guard_main, NULL);
                (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        }
        (void) pthread_attr_destroy(&attributes);
        guard.running = r == 0;
        return -r;
}

static void changed(void) {
        if (!guard.running)
                return;
        (void) sem_post(&guard.wake);
        if (atomic_load(&guard.limit.end) > 0 || atomic_load(&guard.watch.end) > 0)
                return;
        (void) pthread_join(guard.thread, NULL);
        (void) sem_destroy(&guard.wake);
        guard.running = false;
}

static void copy(char *to, const char *text) {
        size_t n = text ? strlen(text) : 0;

        n = MIN(n, (size_t) TEXT_MAX - 1);
        memcpy(to, text ?: "", n);
        to[n] = 0;
}

static int start(Guard *g, const GuardSpec *spec) {
        copy(g->message, spec->message);
        copy(g->event, spec->event);
        g->log_fd = spec->message ? spec->log_fd : -EBADF;
        g->event_fd = spec->event ? spec->event_fd : -EBADF;
        g->status = spec->status;
        atomic_store(&g->end, now_usec(CLOCK_MONOTONIC) + spec->usec);
        if (!guard.running)
                return start_thread();
        changed();
        return 0;
}

static void stop(Guard *g) {
        atomic_store(&g->end, 0);
        changed();
}

int run_guard_start(const GuardSpec *spec) {
        run_guard_stop();
        return start(&guard.limit, spec);
}

void run_guard_stop(void) {
        stop(&guard.limit);
}

void run_guard_postpone(uint64_t usec) {
        if (atomic_load(&guard.limit.end) > 0)
                atomic_fetch_add(&guard.limit.end, usec);
}

void run_guard_signals(void) {
        atomic_store(&guard.signals, true);
        changed();
}

int run_guard_watch(const GuardSpec *spec) {
        run_guard_unwatch();
        guard.patience = spec->usec;
        progress_note();
        return start(&guard.watch, spec);
}

void run_guard_unwatch(void) {
        atomic_store(&guard.signals, false);
        stop(&guard.watch);
}

void run_guard_terminal(const struct termios *saved) {
        atomic_store(&guard.terminal, false);
        if (saved)
                guard.saved = *saved;
        atomic_store(&guard.terminal, saved);
}
