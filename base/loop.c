/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "loop.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>

int loop_new(Loop **ret) {
        return sd_event_new(ret);
}

Loop *loop_unref(Loop *l) {
        return sd_event_unref(l);
}

int loop_run(Loop *l) {
        return sd_event_loop(l);
}

int loop_exit(Loop *l, int code) {
        return sd_event_exit(l, code);
}

int loop_exit_code(Loop *l, int *ret) {
        return sd_event_get_exit_code(l, ret);
}

int loop_once(Loop *l, uint64_t timeout_usec) {
        return sd_event_run(l, timeout_usec);
}

LoopSource *loop_source_unref(LoopSource *s) {
        /* Disabled too, because a handler that is running now may hold the last reference. */
        return sd_event_source_disable_unref(s);
}

/* sd-event's default for a handler that fails is to switch its source off and go on, in silence. */
static int exit_on_failure(int r, sd_event_source **s) {
        return r < 0 ? r : sd_event_source_set_exit_on_failure(*s, true);
}

int loop_add_io(Loop *l, int fd, uint32_t events, LoopIoHandler handler, void *userdata, LoopSource **ret) {
        return exit_on_failure(sd_event_add_io(l, ret, fd, events, handler, userdata), ret);
}

int loop_source_set_io_events(LoopSource *s, uint32_t events) {
        return sd_event_source_set_io_events(s, events);
}

int loop_add_timer(Loop *l, uint64_t usec, LoopTimeHandler handler, void *userdata, LoopSource **ret) {
        return exit_on_failure(sd_event_add_time_relative(l, ret, CLOCK_MONOTONIC, usec,
                                               /* accuracy= */ 1000, handler, userdata),
                        ret);
}

int loop_source_rearm(LoopSource *s, uint64_t usec) {
        int r = sd_event_source_set_time_relative(s, usec);

        if (r < 0)
                return r;
        return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int block_signal(int sig) {
        sigset_t set;

        if (sigemptyset(&set) < 0 || sigaddset(&set, sig) < 0 || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        return 0;
}

int loop_add_signal(Loop *l, int sig, LoopSignalHandler handler, void *userdata, LoopSource **ret) {
        int r = block_signal(sig);

        if (r < 0)
                return r;
        return exit_on_failure(sd_event_add_signal(l, ret, sig, handler, userdata), ret);
}

typedef struct ChildWatch {
        LoopChildHandler handler;
        void *userdata;
} ChildWatch;

static int child_ended(sd_event_source *s, int pidfd, _unused_ uint32_t events, void *userdata) {
        const ChildWatch w = *(ChildWatch *) userdata;
        siginfo_t si = {};
        int r;

        if (waitid(P_PIDFD, (id_t) pidfd, &si, WEXITED | WNOHANG | WNOWAIT) < 0)
                return -errno;
        if (si.si_pid == 0)
                return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        r = w.handler(s, &si, w.userdata);
        (void) waitid(P_PIDFD, (id_t) pidfd, &si, WEXITED | WNOHANG);
        return r;
}

/* Not sd_event_add_child_pidfd(): with systemd before 254 that fails an assertion where epoll_ctl(2) fails. */
int loop_add_child(Loop *l, int pidfd, LoopChildHandler handler, void *userdata, LoopSource **ret) {
        _cleanup_(loop_source_unrefp) LoopSource *s = NULL;
        ChildWatch *w = malloc(sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        *w = (ChildWatch) { .handler = handler, .userdata = userdata };
        r = sd_event_add_io(l, &s, pidfd, EPOLLIN, child_ended, w);
        if (r >= 0)
                r = sd_event_source_set_destroy_callback(s, free);
        if (r < 0) {
                free(w);
                return r;
        }
        r = sd_event_source_set_priority(s, SD_EVENT_PRIORITY_NORMAL + 1);
        if (r >= 0)
                r = exit_on_failure(sd_event_source_set_enabled(s, SD_EVENT_ONESHOT), &s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

int loop_add_defer(Loop *l, LoopDeferHandler handler, void *userdata, LoopSource **ret) {
        return exit_on_failure(sd_event_add_defer(l, ret, handler, userdata), ret);
}
