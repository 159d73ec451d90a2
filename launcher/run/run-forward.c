/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-forward.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "fd.h"

void forward_done(Forward *f) {
        f->in_source = loop_source_unref(f->in_source);
        f->out_source = loop_source_unref(f->out_source);
        f->in = fd_close(f->in);
        f->out = fd_close(f->out);
        free(f->buffer);
        *f = FORWARD_NONE;
}

/* Whoever read our output is gone: the guest goes on, unread. */
static void stop_writing(Forward *f) {
        f->out_source = loop_source_unref(f->out_source);
        f->out = fd_close(f->out);
        f->start = f->end = 0;
}

static bool writable_now(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };

        return poll(&p, 1, 0) > 0;
}

/* Writes while the reader takes it without blocking: a pipe that polls writable takes PIPE_BUF bytes. */
static void write_some(Forward *f) {
        while (f->start < f->end && f->out >= 0 && writable_now(f->out)) {
                ssize_t n = write(f->out, f->buffer + f->start, MIN(f->end - f->start, (size_t) PIPE_BUF));

                if (n < 0 && (errno == EINTR))
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0) {
                        stop_writing(f);
                        return;
                }
                f->start += (size_t) n;
        }
        if (f->start == f->end || f->out < 0)
                f->start = f->end = 0;
}

static int on_readable(LoopSource *s, int fd, uint32_t events, void *userdata);

/* Sources that wait for nothing are dropped, not silenced: epoll reports a hang-up even to those that ask for no event. */
static int on_writable(_unused_ LoopSource *s, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        Forward *f = userdata;

        write_some(f);
        if (f->start < f->end)
                return 0;
        f->out_source = loop_source_unref(f->out_source);
        return loop_add_io(f->loop, f->in, EPOLLIN, on_readable, f, &f->in_source);
}

/* The reader is slow: watch it instead of the channel. */
static int wait_for_reader(Forward *f) {
        int r = loop_add_io(f->loop, f->out, EPOLLOUT, on_writable, f, &f->out_source);

        if (r >= 0) {
                f->in_source = loop_source_unref(f->in_source);
                return 0;
        }
        /* Not something that can be watched (-EPERM: a regular file): then it does not block for long either. */
        r = fd_write_all(f->out, f->buffer + f->start, f->end - f->start);
        if (r < 0)
                stop_writing(f);
        f->start = f->end = 0;
        return 0;
}

/* One read: the bytes, 0 at the end or when nothing is there. */
static size_t read_some(Forward *f) {
        ssize_t n;

        do
                n = read(f->in, f->buffer, FORWARD_BUFFER);
        while (n < 0 && errno == EINTR);
        if (n == 0 || (n < 0 && errno != EAGAIN))
                f->ended = true;
        if (n <= 0)
                return 0;
        if (f->seen)
                f->seen(f->buffer, (size_t) n, f->userdata);
        return (size_t) n;
}

static int on_readable(_unused_ LoopSource *s, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        Forward *f = userdata;
        size_t n = read_some(f);

        if (f->ended) {
                f->in_source = loop_source_unref(f->in_source);
                return 0;
        }
        if (f->out < 0)
                return 0;
        f->end = n;
        write_some(f);
        return f->start < f->end ? wait_for_reader(f) : 0;
}

int forward_start(Forward *f, Loop *loop, int in, int out,
                void (*seen)(const char *data, size_t size, void *userdata), void *userdata) {
        int r;

        *f = (Forward) { .loop = loop, .in = in, .out = -EBADF, .seen = seen, .userdata = userdata };
        f->buffer = malloc(FORWARD_BUFFER);
        r = f->buffer ? 0 : -ENOMEM;
        if (r >= 0 && out >= 0) {
                /* A copy, since two forwards may share an output and epoll takes a descriptor only once. */
                f->out = fcntl(out, F_DUPFD_CLOEXEC, 3);
                if (f->out < 0)
                        r = -errno;
        }
        if (r >= 0)
                r = loop_add_io(loop, in, EPOLLIN, on_readable, f, &f->in_source);
        if (r < 0) {
                f->in = -EBADF; /* stays the caller's */
                forward_done(f);
        }
        return r;
}

/* Waits until the reader takes something; a signal that has a handler (session_end_signals()) ends the wait. */
static int wait_writable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        sigset_t none;

        if (sigemptyset(&none) < 0 || ppoll(&p, 1, NULL, &none) < 0)
                return -errno;
        return 0;
}

int forward_drain(Forward *f) {
        if (f->in < 0)
                return 0;

        f->in_source = loop_source_unref(f->in_source);
        f->out_source = loop_source_unref(f->out_source);
        for (;;) {
                while (f->out >= 0 && f->start < f->end) {
                        int r = wait_writable(f->out);

                        if (r < 0)
                                return r;
                        write_some(f);
                }
                f->start = f->end = 0;
                if (f->ended)
                        return 0;
                f->end = read_some(f);
                if (f->end == 0)
                        return 0;
        }
}
