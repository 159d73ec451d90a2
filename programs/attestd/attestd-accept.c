/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-accept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"

#define TURN_MAX 64u /* connections that are accepted before others have their turn */

typedef struct Pending Pending;

struct Pending {
        Acceptor *acceptor;
        Pending *next, *before;
        struct sockaddr_storage peer;
        socklen_t peer_size;
        int fd; /* owned */
        LoopSource *io, *timer;
        uint8_t header[PROXY_HEADER_MAX];
        size_t have;
};

struct Acceptor {
        Loop *loop;
        AcceptorSettings settings;
        LoopSource *io, *pause, *quiet;
        Pending *first, *last; /* the oldest first */
        size_t n;
        unsigned told; /* bad headers of this minute */
};

static void pending_free(Pending *p) {
        Acceptor *a = p->acceptor;

        *(p->before ? &p->before->next : &a->first) = p->next;
        *(p->next ? &p->next->before : &a->last) = p->before;
        a->n--;
        loop_source_unref(p->io);
        loop_source_unref(p->timer);
        (void) fd_close(p->fd);
        free(p);
}

/* Once a minute: who connects from a proxy's address decides how often this happens. */
static void refuse(Pending *p, const char *why) {
        if (p->acceptor->told++ == 0)
                log_warning("--proxy-protocol: closed a connection of a proxy: %s", why);
        pending_free(p);
}

static void hand_over(Pending *p) {
        const AcceptorSettings *s = &p->acceptor->settings;
        struct sockaddr_storage client;
        socklen_t size;

        if (proxy_header_read(p->header, p->have, &client, &size) < 0) {
                refuse(p, "its header cannot be read");
                return;
        }
        p->io = loop_source_unref(p->io);
        s->take(s->userdata, TAKE_FD(p->fd), size > 0 ? &client : &p->peer, size > 0 ? size : p->peer_size);
        pending_free(p);
}

static int on_header(_unused_ LoopSource *source, int fd, _unused_ uint32_t events, void *userdata) {
        Pending *p = userdata;

        for (;;) {
                int wanted = proxy_header_wanted(p->header, p->have);
                ssize_t n;

                if (wanted == 0) {
                        hand_over(p);
                        return 0;
                }
                if (wanted < 0) {
                        refuse(p,
                                        wanted == -E2BIG ? "its header is too long"
                                                         : "it does not begin with a PROXY header");
                        return 0;
                }
                n = recv(fd, p->header + p->have, (size_t) wanted, MSG_DONTWAIT);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return 0;
                if (n <= 0) {
                        pending_free(p); /* a proxy that looks whether somebody listens */
                        return 0;
                }
                p->have += (size_t) n;
        }
}

static int on_late(_unused_ LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        refuse(userdata, "its header did not come in time");
        return 0;
}

/* Takes the descriptor. */
static int await_header(Acceptor *a, int fd, const struct sockaddr_storage *peer, socklen_t size) {
        Pending *p = calloc(1, sizeof(Pending));
        int r;

        if (!p) {
                (void) close(fd);
                return -ENOMEM;
        }
        if (a->n == ACCEPT_PENDING_MAX)
                pending_free(a->first);
        *p = (Pending) { .acceptor = a, .before = a->last, .peer = *peer, .peer_size = size, .fd = fd };
        *(a->last ? &a->last->next : &a->first) = p;
        a->last = p;
        a->n++;
        r = loop_add_io(a->loop, fd, EPOLLIN, on_header, p, &p->io);
        if (r >= 0)
                r = loop_add_timer(a->loop, ACCEPT_HEADER_USEC, on_late, p, &p->timer);
        if (r < 0)
                pending_free(p);
        return r;
}

static int on_listen(LoopSource *source, int fd, _unused_ uint32_t events, void *userdata) {
        Acceptor *a = userdata;

        for (unsigned i = 0; i < TURN_MAX; i++) {
                struct sockaddr_storage peer = {};
                socklen_t size = sizeof(peer);
                int c = accept4(fd, (struct sockaddr *) &peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (c >= 0 && !proxy_sources_have(a->settings.proxies, &peer))
                        a->settings.take(a->settings.userdata, c, &peer, size);
                else if (c >= 0) {
                        if (await_header(a, c, &peer, size) < 0)
                                log_warning("--proxy-protocol: no memory for a connection, closing it");
                } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
                        int r = loop_source_set_io_events(source, 0);

                        return r < 0 ? r : loop_source_rearm(a->pause, ACCEPT_PAUSE_USEC);
                } else if (errno != EINTR && errno != ECONNABORTED)
                        break;
        }
        return 0;
}

static int on_pause_over(_unused_ LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        return loop_source_set_io_events(((Acceptor *) userdata)->io, EPOLLIN);
}

static int on_quiet(LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        Acceptor *a = userdata;

        if (a->told > 1)
                log_warning("--proxy-protocol: the like %u times more", a->told - 1);
        a->told = 0;
        return loop_source_rearm(source, ACCEPT_QUIET_USEC);
}

Acceptor *acceptor_free(Acceptor *a) {
        if (!a)
                return NULL;
        while (a->first)
                pending_free(a->first);
        loop_source_unref(a->io);
        loop_source_unref(a->pause);
        loop_source_unref(a->quiet);
        (void) fd_close(a->settings.listen_fd);
        free(a);
        return NULL;
}

int acceptor_new(Loop *loop, const AcceptorSettings *settings, Acceptor **ret) {
        _cleanup_(acceptor_freep) Acceptor *a = calloc(1, sizeof(Acceptor));
        int r;

        if (!a) {
                (void) fd_close(settings->listen_fd);
                return -ENOMEM;
        }
        *a = (Acceptor) { .loop = loop, .settings = *settings };
        /* One that a service manager passed may wait. */
        if (fcntl(settings->listen_fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        r = loop_add_io(loop, settings->listen_fd, EPOLLIN, on_listen, a, &a->io);
        if (r >= 0)
                r = loop_add_timer(loop, 0, on_pause_over, a, &a->pause);
        if (r >= 0)
                r = loop_add_timer(loop, ACCEPT_QUIET_USEC, on_quiet, a, &a->quiet);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}
