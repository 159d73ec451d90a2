/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-forward.h"

#include <errno.h>
#include <unistd.h>

#include "fd.h"

void forward_done(Forward *f) {
        f->in_source = loop_source_unref(f->in_source);
        f->in = fd_close(f->in);
        output_done(&f->out);
        free(f->filter);
        free(f->tint);
        free(f->buffer);
        *f = FORWARD_NONE;
}

static void lost(Forward *f, const char *what, int error) {
        if (f->failed)
                f->failed(f, what, error, f->userdata);
}

/* One read: the bytes, 0 at the end or when nothing is there. */
static size_t read_some(Forward *f) {
        ssize_t n;

        do
                n = read(f->in, f->buffer, FORWARD_BUFFER);
        while (n < 0 && errno == EINTR);
        if (n > 0) {
                if (f->seen)
                        f->seen(f->buffer, (size_t) n, f->userdata);
                return (size_t) n;
        }
        if (n < 0 && errno == EAGAIN)
                return 0;
        f->ended = true;
        /* A socket whose other side ended with bytes unread says so: that is an end. */
        if (n < 0 && errno != ECONNRESET) {
                f->error = -errno;
                lost(f, "read", f->error);
        }
        return 0;
}

/* What n bytes can become. */
static size_t room_for(const Forward *f, size_t n) {
        size_t room = f->filter ? TERMINAL_ROOM(n) : n;

        return f->tint ? TERMINAL_TINT_ROOM(room) : room;
}

static void show(Forward *f, const char *data, size_t n) {
        _cleanup_free_ char *tinted = f->tint ? malloc(TERMINAL_TINT_ROOM(n)) : NULL;

        if (tinted)
                output_write(&f->out, tinted, terminal_tint(f->tint, data, n, tinted));
        else
                output_write(&f->out, data, n);
}

static void pass_on(Forward *f, size_t n) {
        _cleanup_free_ char *shown = NULL;

        if (!f->filter) {
                show(f, f->buffer, n);
                return;
        }
        shown = malloc(TERMINAL_ROOM(n));
        if (shown)
                show(f, shown, terminal_filter(f->filter, f->buffer, n, shown));
}

/* A full read, and what becomes of it, must fit. */
static bool has_room(const Forward *f) {
        return output_room(&f->out) >= room_for(f, FORWARD_BUFFER);
}

static int on_readable(_unused_ LoopSource *s, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        Forward *f = userdata;

        pass_on(f, read_some(f));
        if (f->ended || !has_room(f))
                f->in_source = loop_source_unref(f->in_source);
        return 0;
}

static void on_output(Output *o, void *userdata) {
        Forward *f = userdata;

        if (o->gone && o->error < 0)
                lost(f, "written", o->error);
        if (f->in_source || f->ended || f->in < 0 || !f->loop || !has_room(f))
                return;
        if (loop_add_io(f->loop, f->in, EPOLLIN, on_readable, f, &f->in_source) < 0)
                lost(f, "read", -ENOMEM);
}

static int open_output(Forward *f, const ForwardSpec *spec) {
        int r;

        if (spec->out < 0)
                return 0;
        r = output_open(&f->out, spec->out);
        if (r < 0)
                return r;
        if (f->out.terminal && !spec->raw) {
                f->filter = calloc(1, sizeof(TerminalFilter));
                if (!f->filter)
                        return -ENOMEM;
                f->filter->colours = true;
        }
        if (f->out.terminal && spec->background) {
                f->tint = calloc(1, sizeof(TerminalTint));
                if (!f->tint)
                        return -ENOMEM;
                f->tint->colour = spec->background;
        }
        f->out.limit = MAX(spec->queue, (size_t) TERMINAL_ROOM(2 * FORWARD_BUFFER));
        f->out.limit = MAX(f->out.limit, room_for(f, FORWARD_BUFFER));
        f->out.changed = on_output;
        f->out.userdata = f;
        output_attach(&f->out, f->loop);
        return 0;
}

int forward_start(Forward *f, Loop *loop, const ForwardSpec *spec) {
        int r;

        *f = (Forward) {
                .loop = loop,
                .in = spec->in,
                .out = OUTPUT_NONE,
                .seen = spec->seen,
                .failed = spec->failed,
                .userdata = spec->userdata,
        };
        f->buffer = malloc(FORWARD_BUFFER);
        r = f->buffer ? open_output(f, spec) : -ENOMEM;
        if (r >= 0)
                r = loop_add_io(loop, spec->in, EPOLLIN, on_readable, f, &f->in_source);
        if (r < 0) {
                f->in = -EBADF; /* stays the caller's */
                forward_done(f);
        }
        return r;
}

void forward_break(Forward *f) {
        char end[TERMINAL_ROOM(0)];

        if (f->filter)
                output_write(&f->out, end, terminal_filter_end(f->filter, end));
        if (f->tint)
                output_write(&f->out, end, terminal_tint_end(f->tint, end));
}

int forward_drain(Forward *f, uint64_t deadline) {
        int r = 0;

        if (f->in < 0)
                return 0;
        f->in_source = loop_source_unref(f->in_source);
        f->loop = NULL;
        output_attach(&f->out, NULL);
        while (r >= 0 && !f->ended) {
                size_t n = read_some(f);

                if (n == 0)
                        break;
                pass_on(f, n);
                if (!has_room(f))
                        r = output_drain(&f->out, deadline);
        }
        forward_break(f);
        return r < 0 ? r : output_drain(&f->out, deadline);
}
