/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How a guest is ended from outside: the power button first, then QEMU's quit, then SIGKILL; by signals and by --timeout=. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "progress.h"
#include "qmp-commands.h"
#include "run-limits.h"
#include "run-session.h"

/* 10 s in all. A guest that is still booting does not hear the button, so it is pressed again; one that has heard it takes
 * no notice. */
#define POWERDOWN_PRESSES       5u
#define POWERDOWN_PATIENCE_USEC (2 * UINT64_C(1000000))
#define QUIT_PATIENCE_USEC      (5 * UINT64_C(1000000))
#define HURRY_PATIENCE_USEC     UINT64_C(400000)
#define LEAVE_USEC              (3 * UINT64_C(1000000))
#define EXIT_PATIENCE_USEC      (10 * UINT64_C(1000000)) /* its disks are closed by then */

static int on_patience_over(LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        Session *s = userdata;

        if (s->end_step == END_POWERDOWN && ++s->presses < POWERDOWN_PRESSES &&
                        qmp_system_powerdown(s->qmp, NULL, NULL) >= 0)
                return loop_source_rearm(source, POWERDOWN_PATIENCE_USEC);
        session_end(s, s->end_step + 1);
        return 0;
}

static void set_patience(Session *s, uint64_t usec) {
        s->patience = loop_source_unref(s->patience);
        if (loop_add_timer(s->loop, usec, on_patience_over, s, &s->patience) < 0)
                (void) process_signal(&s->qemu, SIGKILL);
}

static int quit(Session *s, QmpReply reply, void *userdata) {
        int r = qmp_quit(s->qmp, reply, userdata);

        if (r < 0) {
                session_end(s, END_KILL);
                return r;
        }
        /* --timeout= and the second signal win within a second. */
        set_patience(s, s->facts.timed_out || s->n_signals > 1 ? HURRY_PATIENCE_USEC : QUIT_PATIENCE_USEC);
        return 0;
}

void session_end(Session *s, unsigned step) {
        if (step <= s->end_step || s->qemu_gone)
                return;
        s->end_step = step;

        if (!s->qmp || step >= END_KILL) {
                (void) process_signal(&s->qemu, SIGKILL);
                return;
        }
        if (step == END_POWERDOWN) {
                if (qmp_system_powerdown(s->qmp, NULL, NULL) < 0) {
                        session_end(s, END_QUIT);
                        return;
                }
                set_patience(s, POWERDOWN_PATIENCE_USEC);
                return;
        }
        (void) quit(s, NULL, NULL);
}

int session_quit(Session *s, QmpReply reply, void *userdata) {
        if (s->end_step >= END_QUIT || s->qemu_gone)
                return -EALREADY;
        s->end_step = END_QUIT;
        return quit(s, reply, userdata);
}

/* What the guest or QEMU said of the end counts; without a word it is a failure. */
static int on_still_there(_unused_ LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        const RunFacts *f = &((Session *) userdata)->facts;
        Session *s = userdata;

        if (s->qemu_gone)
                return 0;
        if (f->guest_status < 0 && !f->guest_shutdown && !f->guest_reset && !f->panicked)
                (void) session_fail(s, -EPROTO, "QEMU closed its monitor and did not end; it was killed");
        session_end(s, END_KILL);
        return 0;
}

void session_await_exit(Session *s) {
        if (loop_add_timer(s->loop, EXIT_PATIENCE_USEC, on_still_there, s, &s->leaving) < 0)
                (void) process_signal(&s->qemu, SIGKILL);
}

static bool ending(const Session *s) {
        const RunFacts *f = &s->facts;

        return s->qemu_gone || s->qmp_lost || s->end_step > 0 || f->guest_shutdown || f->guest_reset ||
                        f->panicked;
}

static int on_helper_alone(_unused_ LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        Session *s = userdata;

        if (ending(s))
                return 0;
        (void) session_fail(s, -EPIPE, s->left.sentence);
        return s->facts.running ? 0 : loop_exit(s->loop, 0);
}

int session_helper_left(Session *s, char *sentence) {
        _cleanup_free_ char *owned = sentence;

        if (ending(s) || s->left.timer)
                return 0;
        if (!owned)
                return -ENOMEM;
        s->left.sentence = TAKE_PTR(owned);
        return loop_add_timer(s->loop, LEAVE_USEC, on_helper_alone, s, &s->left.timer);
}

void session_end_timers(Session *s) {
        s->timeout = loop_source_unref(s->timeout);
        s->watch = loop_source_unref(s->watch);
        s->showing = loop_source_unref(s->showing);
        s->patience = loop_source_unref(s->patience);
        s->leaving = loop_source_unref(s->leaving);
        s->sampler = loop_source_unref(s->sampler);
        s->panic.timer = loop_source_unref(s->panic.timer);
        s->left.timer = loop_source_unref(s->left.timer);
        free(s->left.sentence);
        s->left.sentence = NULL;
}

static int on_signal(_unused_ LoopSource *source, const struct signalfd_siginfo *si, void *userdata) {
        Session *s = userdata;

        if (s->facts.signal == 0)
                s->facts.signal = (int) si->ssi_signo;
        s->n_signals++;

        /* Before the guest runs there is nothing to be gentle with. */
        if (!s->facts.running)
                return loop_exit(s->loop, 0);
        if (s->n_signals == 1 && !s->request->choices->run) {
                log_notice("asking the guest to power off; send the signal again to end it at once");
                session_end(s, END_POWERDOWN);
        } else
                session_end(s, s->n_signals >= 3 ? END_KILL : END_QUIT);
        return 0;
}

/* SIGRTMIN+4 is what machined sends to power a machine off; it is not a constant. */
static int ending_signal(size_t i) {
        const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGRTMIN + 4 };
        static_assert(ELEMENTSOF(signals) == ELEMENTSOF(((Session *) NULL)->signals),
                        "every signal has a source");

        return signals[i];
}

int session_watch_signals(Session *s) {
        for (size_t i = 0; i < ELEMENTSOF(s->signals); i++) {
                int r = loop_add_signal(s->loop, ending_signal(i), on_signal, s, &s->signals[i]);

                if (r < 0)
                        return r;
        }
        return signal(SIGPIPE, SIG_IGN) == SIG_ERR ? -errno : 0;
}

static void wake_up(_unused_ int sig) {
}

void session_end_signals(Session *s) {
        const struct sigaction action = { .sa_handler = wake_up };

        for (size_t i = 0; i < ELEMENTSOF(s->signals); i++) {
                if (!s->signals[i])
                        continue;
                s->signals[i] = loop_source_unref(s->signals[i]);
                /* Blocked but in forward_drain(), where it ends the wait. */
                (void) sigaction(ending_signal(i), &action, NULL);
        }
}

void run_release_signals(void) {
        sigset_t set;

        (void) sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(((Session *) NULL)->signals); i++) {
                (void) signal(ending_signal(i), SIG_DFL);
                (void) sigaddset(&set, ending_signal(i));
        }
        (void) sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int on_timeout(_unused_ LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        Session *s = userdata;

        s->facts.timed_out = true;
        if (!s->facts.running)
                return loop_exit(s->loop, 0);
        session_end(s, END_QUIT);
        return 0;
}

int session_watch_timeout(Session *s) {
        uint64_t deadline = *s->request->deadline, now = monotonic_usec();

        if (deadline == 0)
                return 0;
        return loop_add_timer(s->loop, deadline > now ? deadline - now : 0, on_timeout, s, &s->timeout);
}

static int on_watch(LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        Session *s = userdata;
        uint64_t now = monotonic_usec(), end = progress_usec() + run_set_up_usec;
        char sentence[256];

        if (s->facts.running || session_interrupted(s))
                return 0;
        if (now < end)
                return loop_source_rearm(source, end - now);
        (void) snprintf(sentence, sizeof(sentence), RUN_GIVEN_UP "%s",
                        (uintmax_t) (run_set_up_usec / 1000000), progress_doing());
        s->stuck = true;
        (void) session_fail(s, -ETIMEDOUT, sentence);
        return loop_exit(s->loop, 0);
}

int session_watch_progress(Session *s) {
        progress_note();
        return loop_add_timer(s->loop, run_set_up_usec, on_watch, s, &s->watch);
}

int session_fail(Session *s, int r, const char *sentence) {
        if (!s->facts.failed) {
                s->facts.failed = true;
                s->error = strdup(sentence);
        }
        if (s->facts.running)
                session_end(s, END_QUIT);
        return r;
}

bool session_interrupted(const Session *s) {
        return s->facts.signal > 0 || s->facts.timed_out || s->stuck;
}
