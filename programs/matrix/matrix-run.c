/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The loop: starts guests while there is room, listens to their events, and ends them all when it is interrupted. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "loop.h"
#include "process.h"
#include "run-matrix.h"
#include "strutil.h"

#define DRAW_USEC     UINT64_C(500000)
#define PATIENCE_USEC (UINT64_C(20) * 1000 * 1000) /* the launcher ends its guest in less */
#define LINE_MAX_     (256u * 1024u)               /* an event; longer ones are skipped */

typedef struct Loops Loops;

typedef struct Slot {
        Loops *all;
        MatrixResult *result; /* NULL: free */
        Process process;
        int events; /* our end of the pipe */
        LoopSource *child, *readable;
        bool ended_by_us, over, again;
        char *line; /* of an event, so far */
        size_t n_line;
        bool skip;
} Slot;

struct Loops {
        MatrixRun *m;
        Loop *loop;
        Slot *slots;
        size_t next; /* guest to be started */
        LoopSource *signals[3], *timer, *patience, *more;
        char **reterr;
};

static void stamp(char *ret, size_t size) {
        struct timespec ts = {};
        struct tm tm;
        char day[32];

        ret[0] = 0;
        (void) clock_gettime(CLOCK_REALTIME, &ts);
        if (gmtime_r(&ts.tv_sec, &tm) && strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) > 0)
                (void) snprintf(ret, size, "%s.%03uZ", day, (unsigned) (ts.tv_nsec / 1000000) % 1000);
}

static bool stopping(const MatrixRun *m) {
        return m->signal > 0 || m->failed_fast;
}

static void slot_done(Slot *s) {
        s->child = loop_source_unref(s->child);
        s->readable = loop_source_unref(s->readable);
        s->events = fd_close(s->events);
        free(s->line);
        *s = (Slot) { .all = s->all, .process = PROCESS_NONE, .events = -EBADF };
}

/* Whole lines of what has come. */
static int take(Slot *s, const char *data, size_t n) {
        while (n > 0) {
                const char *end = memchr(data, '\n', n);
                size_t k = end ? (size_t) (end - data) : n;
                int r = 0;

                s->skip = s->skip || s->n_line + k > LINE_MAX_;
                if (!s->skip && k > 0) {
                        char *more = realloc(s->line, s->n_line + k);

                        if (!more)
                                return -ENOMEM;
                        s->line = more;
                        memcpy(s->line + s->n_line, data, k);
                        s->n_line += k;
                }
                if (end) {
                        if (!s->skip && s->n_line > 0)
                                r = matrix_result_event(s->result, s->line, s->n_line);
                        s->n_line = 0;
                        s->skip = false;
                        k++;
                }
                if (r < 0)
                        return r;
                data += k;
                n -= k;
        }
        return 0;
}

static int drain(Slot *s) {
        char buffer[16 * 1024];
        int r = 0;

        while (r >= 0 && s->events >= 0) {
                ssize_t n = read(s->events, buffer, sizeof(buffer));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return 0;
                if (n <= 0) {
                        s->readable = loop_source_unref(s->readable);
                        s->events = fd_close(s->events);
                        return n < 0 ? -errno : 0;
                }
                r = take(s, buffer, (size_t) n);
        }
        return r;
}

static int on_events(
                _unused_ LoopSource *source, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        Slot *s = userdata;
        GuestStage before = s->result->stage;
        int r = drain(s);

        if (r >= 0 && s->result->stage != before)
                matrix_show_draw(s->all->m->show);
        return r;
}

static int enter(void *userdata) {
        return fchdir(*(const int *) userdata) < 0 ? -errno : 0;
}

static int arguments(const MatrixGuest *g, int fd, char ***ret) {
        _cleanup_strv_free_ char **argv = NULL;
        int r = strv_push(&argv, "cvmspawn");

        if (r >= 0)
                r = strv_pushf(&argv, "--status-fd=%d", fd);
        STRV_FOREACH(a, g->arguments)
                if (r >= 0)
                        r = strv_push(&argv, *a);
        if (r >= 0)
                *ret = TAKE_PTR(argv);
        return r;
}

static int on_end(LoopSource *source, const siginfo_t *si, void *userdata);

/* Begins another attempt. On failure the slot keeps what there is, for loops_done(). */
static int slot_start(Slot *s, MatrixResult *result, char **reterr) {
        _cleanup_close_ int log = -EBADF, write_end = -EBADF;
        _cleanup_strv_free_ char **argv = NULL;
        MatrixRun *m = s->all->m;
        int p[2], r;

        matrix_result_begin(result);
        s->result = result;
        log = matrix_output_log(m, result, reterr);
        if (log < 0)
                return log;
        if (pipe2(p, O_CLOEXEC) < 0)
                return error_set(reterr, -errno, "cannot make a pipe: %m");
        s->events = p[0];
        write_end = p[1];
        if (fcntl(s->events, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        r = arguments(result->guest, write_end, &argv);
        if (r < 0)
                return r;
        stamp(result->started, sizeof(result->started));
        result->begun = matrix_usec();
        r = process_spawn(&(ProcessSpec) { .file = m->program,
                                          .argv = argv,
                                          .stdin_fd = -EBADF,
                                          .stdout_fd = log,
                                          .stderr_fd = log,
                                          .keep_fds = &write_end,
                                          .n_keep_fds = 1,
                                          .own_group = true,
                                          .prepare = enter,
                                          .userdata = &m->source },
                        &s->process, reterr);
        if (r >= 0)
                r = loop_add_io(s->all->loop, s->events, EPOLLIN, on_events, s, &s->readable);
        if (r >= 0)
                r = loop_add_child(s->all->loop, s->process.pidfd, on_end, s, &s->child);
        return r;
}

/* Fills the free slots; 1 if nothing runs any longer. */
static int go_on(Loops *l) {
        MatrixRun *m = l->m;
        bool busy = false;

        for (unsigned i = 0; i < m->jobs; i++) {
                if (!l->slots[i].result && !stopping(m) && l->next < m->n) {
                        int r = slot_start(l->slots + i, m->results + l->next++, l->reterr);

                        if (r < 0)
                                return r;
                }
                busy = busy || l->slots[i].result;
        }
        matrix_show_draw(m->show);
        return busy ? 0 : 1;
}

static void end_all(Loops *l, int sig) {
        for (unsigned i = 0; i < l->m->jobs; i++)
                if (l->slots[i].result && !l->slots[i].over) {
                        l->slots[i].ended_by_us = true;
                        (void) process_signal(&l->slots[i].process, sig);
                }
}

static int on_patience_over(_unused_ LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        end_all(userdata, SIGKILL);
        return 0;
}

static int stop(Loops *l) {
        end_all(l, SIGTERM);
        return l->patience ? 0 : loop_add_timer(l->loop, PATIENCE_USEC, on_patience_over, l, &l->patience);
}

/* What it was ended for says more than the status with which it obeyed. */
static void judge(Slot *s, unsigned status) {
        MatrixResult *r = s->result;

        r->usec = matrix_usec() - r->begun;
        matrix_result_end(r, status);
        if (s->ended_by_us && r->outcome != GUEST_PASSED)
                r->outcome = s->all->m->signal > 0 ? GUEST_INTERRUPTED : GUEST_CANCELLED;
}

/* Slots whose guest has ended are emptied, and filled again. */
static int on_more(_unused_ LoopSource *source, void *userdata) {
        Loops *l = userdata;
        int r;

        l->more = loop_source_unref(l->more);
        for (unsigned i = 0; i < l->m->jobs; i++) {
                Slot *s = l->slots + i;
                MatrixResult *again = s->again && !stopping(l->m) ? s->result : NULL;

                if (!s->over)
                        continue;
                process_forget(&s->process);
                slot_done(s);
                r = again ? slot_start(s, again, l->reterr) : 0;
                if (r < 0)
                        return r;
        }
        r = go_on(l);
        return r > 0 ? loop_exit(l->loop, 0) : r;
}

/* The slot keeps its process until the loop has reaped it, after this handler. */
static int on_end(_unused_ LoopSource *source, const siginfo_t *si, void *userdata) {
        Slot *s = userdata;
        Loops *l = s->all;
        MatrixRun *m = l->m;
        int r = drain(s);

        if (r < 0)
                return r;
        judge(s, matrix_status(si->si_code, si->si_status));
        s->over = true;
        s->again = !stopping(m) && s->result->outcome != GUEST_PASSED &&
                        s->result->attempts <= s->result->guest->retry;
        matrix_show_ended(m->show, s->result, s->again);
        if (!s->again)
                r = matrix_output_line(m, s->result, l->reterr);
        if (r >= 0 && !s->again && m->args->fail_fast && s->result->outcome != GUEST_PASSED &&
                        !stopping(m)) {
                m->failed_fast = true;
                r = stop(l);
        }
        if (r >= 0 && !l->more)
                r = loop_add_defer(l->loop, on_more, l, &l->more);
        return r;
}

static int on_signal(_unused_ LoopSource *source, const struct signalfd_siginfo *si, void *userdata) {
        Loops *l = userdata;
        int r;

        if (l->m->signal == 0)
                l->m->signal = (int) si->ssi_signo;
        /* A second one is passed on, too, and ends the guests at once. */
        r = stop(l);
        if (r >= 0)
                r = go_on(l);
        return r > 0 ? loop_exit(l->loop, 0) : r;
}

static int on_draw(LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        Loops *l = userdata;

        matrix_show_draw(l->m->show);
        return loop_source_rearm(source, DRAW_USEC);
}

static int prepare(Loops *l) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
        int r = loop_new(&l->loop);

        l->slots = calloc(l->m->jobs, sizeof(Slot));
        if (!l->slots)
                return -ENOMEM;
        for (unsigned i = 0; i < l->m->jobs; i++)
                l->slots[i] = (Slot) { .all = l, .process = PROCESS_NONE, .events = -EBADF };
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(signals); i++)
                r = loop_add_signal(l->loop, signals[i], on_signal, l, l->signals + i);
        if (r >= 0 && matrix_show_live(l->m->show))
                r = loop_add_timer(l->loop, DRAW_USEC, on_draw, l, &l->timer);
        return r;
}

/* After a failure of ours guests may still run: they end before we do. */
static void loops_done(Loops *l) {
        if (l->slots)
                for (unsigned i = 0; i < l->m->jobs; i++)
                        (void) process_signal(&l->slots[i].process, SIGTERM);
        for (unsigned i = 0; l->slots && i < l->m->jobs; i++) {
                siginfo_t si;

                l->slots[i].child = loop_source_unref(l->slots[i].child);
                if (l->slots[i].over)
                        process_forget(&l->slots[i].process);
                if (l->slots[i].process.pid > 0 &&
                                process_wait(&l->slots[i].process, PATIENCE_USEC, &si) < 0)
                        process_done(&l->slots[i].process);
                slot_done(l->slots + i);
        }
        free(l->slots);
        for (size_t i = 0; i < ELEMENTSOF(l->signals); i++)
                (void) loop_source_unref(l->signals[i]);
        (void) loop_source_unref(l->timer);
        (void) loop_source_unref(l->patience);
        (void) loop_source_unref(l->more);
        (void) loop_unref(l->loop);
}

int matrix_run(MatrixRun *m, char **reterr) {
        _cleanup_(loops_done) Loops l = { .m = m, .reterr = reterr };
        int r;

        m->jobs = (unsigned) MIN((size_t) m->jobs, m->n);
        r = prepare(&l);
        if (r >= 0)
                r = go_on(&l);
        if (r == 0)
                r = loop_run(l.loop);
        matrix_show_clear(m->show);
        /* Guests that were never started have a line as well. */
        for (size_t i = 0; r >= 0 && i < m->n; i++)
                if (m->results[i].attempts == 0)
                        r = matrix_output_line(m, m->results + i, reterr);
        return r < 0 ? r : 0;
}
