/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Copies of what is measured are made beside QEMU's start, which takes as long: QEMU has the memory files already, and waits for
 * x-exit-preconfig before it looks into them. The thread lives for milliseconds, takes no signal, and shares nothing but the inputs,
 * which nobody else touches meanwhile; no child is forked beside it. */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "error.h"
#include "fd.h"
#include "resolve.h"
#include "run-guard.h"
#include "run-session.h"

#define COPY_USEC (UINT64_C(500000)) /* for one piece */

int run_fill(const RunRequest *request, const atomic_bool *stop, char **reterr) {
        int r = resolve_fill(request->config, request->inputs, stop, reterr);

        /* A file that changed; of run_vm() -ESTALE would say something else. */
        return r == -ESTALE ? -EIO : r;
}

static void *fill_main(void *userdata) {
        Session *s = userdata;
        const uint64_t one = 1;

        s->fill.result = run_fill(s->request, &s->fill.stop, &s->fill.error);
        /* It cannot be full. */
        (void) !fd_write_all(s->fill.fd, &one, sizeof(one));
        return NULL;
}

/* What reads the copies: the machine is built as soon as QEMU listens. */
static int filled(Session *s, char **reterr) {
        int r = session_start_scan(s);

        if (r < 0)
                return error_set(reterr, r, "cannot start the scan of the initrd: %s", strerror(-r));
        r = session_start_measure(s, reterr);
        if (r < 0)
                return r;
        return s->request->inputs->preconfig
                        ? qmp_wait_begin(s->qmp, "x-exit-preconfig", NULL, &s->machine, reterr)
                        : 0;
}

static void join(FillThread *f) {
        if (f->started)
                (void) pthread_join(f->thread, NULL);
        f->started = false;
        f->source = loop_source_unref(f->source);
        f->fd = fd_close(f->fd);
}

static int on_end(_unused_ LoopSource *source, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        Session *s = userdata;

        join(&s->fill);
        run_timing_mark(s->request->timing, "copies");
        if (s->fill.result >= 0)
                s->fill.result = filled(s, &s->fill.error);
        s->fill.done = true;
        return 0;
}

static int start_thread(Session *s) {
        sigset_t all, before;
        int r;

        s->fill.fd = eventfd(0, EFD_CLOEXEC);
        if (s->fill.fd < 0)
                return -errno;
        r = loop_add_io(s->loop, s->fill.fd, EPOLLIN, on_end, s, &s->fill.source);
        if (r < 0)
                return r;
        if (sigfillset(&all) < 0)
                return -errno;
        r = pthread_sigmask(SIG_SETMASK, &all, &before);
        if (r != 0)
                return -r;
        r = pthread_create(&s->fill.thread, NULL, fill_main, s);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        s->fill.started = r == 0;
        return -r;
}

int session_start_fill(Session *s, char **reterr) {
        int r;

        if (s->request->inputs->n_copies == 0) {
                s->fill.done = true;
                return filled(s, reterr);
        }
        r = start_thread(s);
        return r < 0 ? error_set(reterr, r, "cannot start the thread that copies files: %s", strerror(-r))
                     : 0;
}

int session_wait_fill(Session *s, char **reterr) {
        while (!s->fill.done && !session_interrupted(s) && !s->qemu_gone) {
                int r = loop_once(s->loop, UINT64_MAX);

                if (r < 0)
                        return r;
        }
        if (!s->fill.done)
                return -ECANCELED;
        return s->fill.result < 0
                        ? error_set(reterr, s->fill.result, "%s", s->fill.error ?: strerror(-s->fill.result))
                        : 0;
}

void session_end_fill(Session *s) {
        atomic_store(&s->fill.stop, true);
        join(&s->fill);
        free(s->fill.error);
        s->fill.error = NULL;
}

/* A thread that copies may be in a file system that does not answer: it cannot be ended alone. */
void session_guard_copies(const Session *s, const RunResult *result) {
        const EventSink *events = s->request->events;
        _cleanup_free_ char *text = NULL;
        Json *data = NULL;

        if (!s->fill.started)
                return;
        if (!events->out || event_exit_data(result, result->detail ?: result->cause, &data) < 0 ||
                        event_text("exit", 0, data, &text) < 0)
                text = NULL;
        (void) !run_guard_start(&(const GuardSpec) {
                        .usec = COPY_USEC,
                        .status = result->status,
                        .event = text,
                        .event_fd = text ? events->out->fd : -EBADF,
        });
}
