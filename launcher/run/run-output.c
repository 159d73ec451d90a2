/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "run-show.h"

#define TERMINAL_PIECE 64u /* a terminal that polls writable has at least this much room */

uint64_t monotonic_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

/* A description of our own can be switched to non-blocking without changing it for other users of this pipe or terminal. */
static int reopen(int fd) {
        char path[64];
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
                return -EBADF;
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return fd_open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0);
}

int output_open(Output *o, int fd) {
        struct stat st;

        *o = OUTPUT_NONE;
        o->limit = OUTPUT_QUEUE;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
                o->kind = OUTPUT_FILE; /* a copy, which shares the position */
        else if (S_ISSOCK(st.st_mode))
                o->kind = OUTPUT_SOCKET;
        else {
                o->fd = reopen(fd);
                o->kind = o->fd >= 0 ? OUTPUT_NONBLOCKING : OUTPUT_POLLED;
        }
        o->terminal = isatty(fd);
        if (o->fd < 0)
                o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return o->fd < 0 ? -errno : 0;
}

static void close_output(Output *o) {
        o->source = loop_source_unref(o->source);
        o->fd = fd_close(o->fd);
        free(o->queue);
        o->queue = NULL;
        o->start = o->end = o->capacity = 0;
}

void output_done(Output *o) {
        close_output(o);
        *o = OUTPUT_NONE;
}

static bool writable_now(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };

        return poll(&p, 1, 0) > 0;
}

/* Bytes written, or -errno. */
static ssize_t write_once(const Output *o, const char *data, size_t n) {
        ssize_t done;

        if (o->kind == OUTPUT_SOCKET) {
                done = send(o->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
                return done < 0 ? -errno : done;
        }
        if (o->kind == OUTPUT_POLLED) {
                if (!writable_now(o->fd))
                        return -EAGAIN;
                n = MIN(n, o->terminal ? (size_t) TERMINAL_PIECE : (size_t) PIPE_BUF);
        }
        done = write(o->fd, data, n);
        return done < 0 ? -errno : done;
}

/* The reader is gone, or the disk is full, or...: nothing more can be delivered. */
static void fail(Output *o, int error) {
        if (error != EPIPE && !(error == ECONNRESET && o->kind == OUTPUT_SOCKET))
                o->error = -error;
        o->gone = true;
        close_output(o);
        if (o->changed)
                o->changed(o, o->userdata);
}

/* Writes what is taken now: the number of bytes. */
static size_t write_some(Output *o, const char *data, size_t size) {
        size_t done = 0;

        while (done < size) {
                ssize_t n = write_once(o, data + done, size - done);

                if (n == -EINTR)
                        continue;
                if (n == -EAGAIN)
                        break;
                if (n <= 0) {
                        fail(o, n < 0 ? (int) -n : EIO);
                        return size;
                }
                done += (size_t) n;
        }
        return done;
}

static void flush(Output *o) {
        if (o->gone || o->start == o->end)
                return;
        o->start += write_some(o, o->queue + o->start, o->end - o->start);
        if (o->gone || o->start == o->end)
                o->start = o->end = 0;
}

static int on_writable(
                _unused_ LoopSource *source, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        Output *o = userdata;

        flush(o);
        if (o->gone)
                return 0;
        if (o->start == o->end)
                o->source = loop_source_unref(o->source);
        if (o->changed && output_pending(o) <= o->limit / 2)
                o->changed(o, o->userdata);
        return 0;
}

/* Sources that wait for nothing are dropped, not silenced: epoll reports a hang-up even to those that ask for no event. */
static void watch(Output *o) {
        if (!o->loop || o->source || o->gone || o->start == o->end)
                return;
        if (loop_add_io(o->loop, o->fd, EPOLLOUT, on_writable, o, &o->source) < 0)
                o->source = NULL; /* moves with the next write, or in the end */
}

void output_attach(Output *o, Loop *loop) {
        o->source = loop_source_unref(o->source);
        o->loop = loop;
        flush(o);
        watch(o);
}

static bool make_room(Output *o, size_t size) {
        size_t pending = o->end - o->start, capacity;
        char *queue;

        if (o->start > 0) {
                memmove(o->queue, o->queue + o->start, pending);
                o->start = 0;
                o->end = pending;
        }
        if (pending + size <= o->capacity)
                return true;
        capacity = MAX(2 * (pending + size), (size_t) 4096);
        if (capacity > o->limit)
                capacity = MAX(o->limit, pending + size);
        queue = realloc(o->queue, capacity);
        if (!queue)
                return false;
        o->queue = queue;
        o->capacity = capacity;
        return true;
}

void output_write(Output *o, const char *data, size_t size) {
        size_t done = 0, fits;

        if (o->gone || o->fd < 0)
                return;
        flush(o);
        if (!o->gone && o->start == o->end)
                done = write_some(o, data, size);
        if (o->gone)
                return;
        fits = MIN(size - done, output_room(o));
        if (fits > 0 && make_room(o, fits)) {
                memcpy(o->queue + o->end, data + done, fits);
                o->end += fits;
                done += fits;
        }
        o->dropped += size - done;
        watch(o);
}

size_t output_pending(const Output *o) {
        return o->end - o->start;
}

size_t output_room(const Output *o) {
        return o->gone || o->fd < 0 ? SIZE_MAX : o->limit - MIN(o->limit, output_pending(o));
}

/* Waits until the reader takes something; a signal that has a handler (session_end_signals()) ends the wait. */
static int wait_writable(int fd, uint64_t deadline) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        uint64_t now = monotonic_usec(), left = deadline > now ? deadline - now : 0;
        const struct timespec ts = {
                .tv_sec = (time_t) (left / 1000000),
                .tv_nsec = (long) (left % 1000000 * 1000),
        };
        sigset_t none;
        int k;

        if (sigemptyset(&none) < 0)
                return -errno;
        k = ppoll(&p, 1, deadline > 0 ? &ts : NULL, &none);
        return k < 0 ? -errno : k == 0 ? -ETIMEDOUT : 0;
}

int output_drain(Output *o, uint64_t deadline) {
        for (;;) {
                int r;

                flush(o);
                if (o->gone || o->start == o->end)
                        return 0;
                r = wait_writable(o->fd, deadline);
                if (r < 0)
                        return r;
        }
}

void run_log_writer(const char *text, size_t n, void *userdata) {
        show_clear();
        output_write(userdata, text, n);
}
