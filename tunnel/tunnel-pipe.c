/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel-pipe.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"

#define TURNS_MAX 8u /* of one socket before others get theirs */

typedef struct Side {
        int fd; /* owned */
        LoopSource *io;
        uint32_t events; /* that io waits for */
        bool ended;      /* sends no more */
        bool shut;       /* has been told that the other one sends no more */
        int error;       /* of this socket, -errno */
        size_t begin, size;
        uint8_t buf[TUNNEL_PIPE_BUFFER]; /* what it sent, and the other one has not taken */
} Side;

struct TunnelPipe {
        Loop *loop; /* weak */
        Side sides[2];
        LoopSource *timer;
        bool active; /* since the timer came last */
        void (*ended)(TunnelPipe *p, void *userdata);
        void *userdata;
};

TunnelPipe *tunnel_pipe_free(TunnelPipe *p) {
        if (!p)
                return NULL;
        FOREACH_ARRAY(s, p->sides, 2) {
                loop_source_unref(s->io);
                (void) fd_close(s->fd);
        }
        loop_source_unref(p->timer);
        free(p);
        return NULL;
}

/* 0: the socket is not ready; else the error that ends the pipe. */
static int failed(Side *s) {
        if (errno == EAGAIN || errno == EINTR)
                return 0;
        return s->error = -errno;
}

int tunnel_pipe_error(const TunnelPipe *p) {
        return p->sides[0].error;
}

/* What `from` sent goes to `to`, as far as that takes it. */
static int give(TunnelPipe *p, Side *from, Side *to) {
        while (from->size > 0) {
                ssize_t n = send(to->fd, from->buf + from->begin, from->size, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0)
                        return failed(to);
                p->active = true;
                from->begin += (size_t) n;
                from->size -= (size_t) n;
        }
        from->begin = 0;
        if (from->ended && !to->shut) {
                if (shutdown(to->fd, SHUT_WR) < 0)
                        return -errno;
                to->shut = true;
        }
        return 0;
}

static int take(TunnelPipe *p, Side *from) {
        ssize_t n;

        if (from->size > 0 || from->ended)
                return 0;
        n = recv(from->fd, from->buf, sizeof(from->buf), MSG_DONTWAIT);
        if (n < 0)
                return failed(from);
        p->active = true;
        from->size = (size_t) n;
        from->ended = n == 0;
        return n > 0;
}

static int on_io(LoopSource *s, int fd, uint32_t events, void *userdata);

/* A socket that need not be waited for has no source: the end of a connection would be reported without pause. */
static int wait_for(TunnelPipe *p, Side *side, uint32_t events) {
        if (events == side->events)
                return 0;
        side->events = events;
        if (events == 0) {
                side->io = loop_source_unref(side->io);
                return 0;
        }
        if (side->io)
                return loop_source_set_io_events(side->io, events);
        return loop_add_io(p->loop, side->fd, events, on_io, p, &side->io);
}

static int move(TunnelPipe *p) {
        int r = 0;

        for (unsigned i = 0; i < 2 && r >= 0; i++) {
                Side *from = p->sides + i, *to = p->sides + !i;
                int more = 1;

                for (unsigned turn = 0; turn < TURNS_MAX && more > 0 && r >= 0; turn++) {
                        r = give(p, from, to);
                        more = r < 0 ? r : take(p, from);
                        if (r >= 0 && more < 0)
                                r = more;
                }
                if (r >= 0)
                        r = give(p, from, to);
        }
        if (r >= 0 && p->sides[0].shut && p->sides[1].shut)
                return -EPIPE;
        for (unsigned i = 0; i < 2 && r >= 0; i++) {
                Side *side = p->sides + i, *other = p->sides + !i;

                r = wait_for(p, side,
                                (side->size == 0 && !side->ended ? (uint32_t) EPOLLIN : 0) |
                                                (other->size > 0 ? (uint32_t) EPOLLOUT : 0));
        }
        return r;
}

static int on_io(_unused_ LoopSource *s, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        TunnelPipe *p = userdata;

        if (move(p) < 0)
                p->ended(p, p->userdata);
        return 0;
}

static int on_timer(LoopSource *s, _unused_ uint64_t usec, void *userdata) {
        TunnelPipe *p = userdata;

        if (p->active) {
                p->active = false;
                return loop_source_rearm(s, TUNNEL_PIPE_IDLE);
        }
        p->ended(p, p->userdata);
        return 0;
}

/* As if this side had sent it. */
static void prepare(Side *s, const void *data, size_t size) {
        if (size > 0)
                memcpy(s->buf, data, size);
        s->size = size;
}

int tunnel_pipe_new(Loop *loop, const TunnelPipeSpec *spec, TunnelPipe **ret) {
        TunnelPipe *p = calloc(1, sizeof(TunnelPipe));
        int r = 0;

        if (!p) {
                (void) fd_close(spec->a);
                (void) fd_close(spec->b);
                return -ENOMEM;
        }
        assert(spec->begin_size <= TUNNEL_PIPE_BUFFER && spec->begin_a_size <= TUNNEL_PIPE_BUFFER);
        p->loop = loop;
        p->ended = spec->ended;
        p->userdata = spec->userdata;
        p->sides[0].fd = spec->a;
        p->sides[1].fd = spec->b;
        prepare(p->sides, spec->begin, spec->begin_size);
        prepare(p->sides + 1, spec->begin_a, spec->begin_a_size);
        for (unsigned i = 0; i < 2 && r >= 0; i++)
                r = wait_for(p, p->sides + i,
                                (uint32_t) EPOLLIN | (p->sides[!i].size > 0 ? (uint32_t) EPOLLOUT : 0));
        if (r >= 0)
                r = loop_add_timer(loop, TUNNEL_PIPE_IDLE, on_timer, p, &p->timer);
        if (r < 0) {
                tunnel_pipe_free(p);
                return r;
        }
        *ret = p;
        return 0;
}
