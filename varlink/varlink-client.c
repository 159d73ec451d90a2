/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* One client: its bytes in and out. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"
#include "strutil.h"
#include "varlink-internal.h"

static void close_fds(VarlinkClient *c) {
        for (size_t i = 0; i < c->n_fds; i++)
                (void) fd_close(c->fds[i]);
        c->n_fds = 0;
}

/* False if the client is gone. */
static bool flush(VarlinkClient *c) {
        while (c->out_sent < c->out_size) {
                ssize_t n = send(c->fd, c->out + c->out_sent, c->out_size - c->out_sent,
                                MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN;
                c->out_sent += (size_t) n;
        }
        free(c->out);
        c->out = NULL;
        c->out_size = c->out_sent = 0;
        return true;
}

void varlink_client_free(VarlinkClient *c) {
        VarlinkClient **p = &c->server->clients;

        while (*p && *p != c)
                p = &(*p)->next;
        if (*p) {
                *p = c->next;
                c->server->n_clients--;
        }
        if (c->fd >= 0)
                (void) flush(c);
        loop_source_unref(c->source);
        (void) fd_close(c->fd);
        close_fds(c);
        strv_free(c->topics);
        free(c->in);
        free(c->out);
        free(c);
}

void varlink_client_drop(VarlinkClient *c) {
        c->source = loop_source_unref(c->source);
        c->fd = fd_close(c->fd);
        close_fds(c);
        c->subscribed = false;
        if (!c->busy && !c->dispatching)
                varlink_client_free(c);
}

static bool has_message(VarlinkClient *c) {
        const char *end = c->in_searched < c->in_size
                        ? memchr(c->in + c->in_searched, 0, c->in_size - c->in_searched)
                        : NULL;

        c->in_searched = end ? (size_t) (end - c->in) : c->in_size;
        return end;
}

static bool waits(const VarlinkClient *c) {
        return c->busy || c->subscribed;
}

/* EPOLLOUT also brings a message back that is here already: one is taken in each turn of the loop. */
static void update_events(VarlinkClient *c) {
        uint32_t events = 0;

        if (c->fd < 0)
                return;
        if (!waits(c))
                events |= has_message(c) ? EPOLLOUT : c->read_closed ? 0 : EPOLLIN;
        if (c->out_sent < c->out_size)
                events |= EPOLLOUT;
        if (events == 0 && c->read_closed && !waits(c)) {
                varlink_client_drop(c);
                return;
        }
        if (loop_source_set_io_events(c->source, events) < 0)
                varlink_client_drop(c);
}

static bool queue(VarlinkClient *c, const char *text, size_t size) {
        size_t left = c->out_size - c->out_sent;
        char *out;

        if (left + size > VARLINK_QUEUE_MAX)
                return false;
        out = malloc(left + size);
        if (!out)
                return false;
        if (left > 0)
                memcpy(out, c->out + c->out_sent, left);
        memcpy(out + left, text, size);
        free(c->out);
        c->out = out;
        c->out_size = left + size;
        c->out_sent = 0;
        return true;
}

void varlink_client_send(VarlinkClient *c, char *text, size_t size) {
        bool alive = c->fd >= 0 && queue(c, text, size) && flush(c);

        free(text);
        if (!alive)
                varlink_client_drop(c);
        else if (!c->dispatching)
                update_events(c);
}

void varlink_client_continue(VarlinkClient *c) {
        if (!c->dispatching)
                update_events(c);
}

/* A descriptor belongs to the message that it came with: the only one then. */
static bool take_fds(VarlinkClient *c, struct msghdr *msg) {
        bool fits = !(msg->msg_flags & MSG_CTRUNC);

        for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
                size_t n = h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS
                                ? (h->cmsg_len - CMSG_LEN(0)) / sizeof(int)
                                : 0;

                for (size_t i = 0; i < n; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
                        if (c->n_fds < VARLINK_FDS_MAX)
                                c->fds[c->n_fds++] = fd;
                        else {
                                (void) fd_close(fd);
                                fits = false;
                        }
                }
        }
        return fits;
}

/* False if the client is to be disconnected. */
static bool read_some(VarlinkClient *c) {
        union {
                struct cmsghdr header;
                char buf[CMSG_SPACE(VARLINK_FDS_MAX * sizeof(int))];
        } control;
        struct iovec iov = { .iov_base = c->in + c->in_size, .iov_len = VARLINK_MESSAGE_MAX - c->in_size };
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control.buf),
        };
        const char *nul;
        ssize_t n;

        if (iov.iov_len == 0)
                return false;
        do
                n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN;
        if (!take_fds(c, &msg))
                return false;
        if (n == 0) {
                c->read_closed = true;
                return true;
        }
        c->in_size += (size_t) n;
        c->active = ++c->server->activity;
        nul = c->n_fds > 0 ? memchr(c->in, 0, c->in_size) : NULL;
        return !nul || nul == c->in + c->in_size - 1;
}

static bool take_message(VarlinkClient *c) {
        _cleanup_(varlink_message_done) VarlinkMessage m = {};
        size_t size = c->in_searched + 1;
        int r = varlink_message_parse(c->in, size - 1, &m, NULL);

        if (r < 0)
                return false;
        memmove(c->in, c->in + size, c->in_size - size);
        c->in_size -= size;
        c->in_searched = 0;
        c->server->dispatch(c, &m);
        close_fds(c);
        return c->fd >= 0;
}

static int on_io(_unused_ LoopSource *source, _unused_ int fd, uint32_t events, void *userdata) {
        VarlinkClient *c = userdata;
        bool alive = true;

        c->dispatching = true;
        if (events & EPOLLERR || (events & EPOLLHUP && waits(c)))
                alive = false;
        if (alive && events & EPOLLOUT)
                alive = flush(c);
        if (alive && !waits(c)) {
                if (!has_message(c) && !c->read_closed)
                        alive = read_some(c);
                if (alive && has_message(c))
                        alive = take_message(c);
                else if (alive && c->read_closed)
                        alive = c->out_sent < c->out_size && !(events & EPOLLHUP);
        }
        c->dispatching = false;
        if (!alive)
                varlink_client_drop(c);
        else
                update_events(c);
        return 0;
}

int varlink_client_watch(VarlinkClient *c) {
        c->active = ++c->server->activity;
        return loop_add_io(c->server->loop, c->fd, EPOLLIN, on_io, c, &c->source);
}
