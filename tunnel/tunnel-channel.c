/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel-channel.h"

#include <errno.h>
#include <string.h>

#include "fd.h"
#include "secret.h"

#define OUT_MAX   (16u * 1024) /* a hundred hosts at once */
#define TURNS_MAX 16u

struct TunnelChannel {
        TunnelChannelSpec spec;
        Tls *tls;
        LoopSource *io;
        bool open;
        bool ends; /* told so already */
        char in[TUNNEL_LINE_MAX];
        size_t in_size;
        char out[OUT_MAX];
        size_t out_size;
};

TunnelChannel *tunnel_channel_free(TunnelChannel *c) {
        if (!c)
                return NULL;
        loop_source_unref(c->io);
        tls_free(c->tls);
        (void) fd_close(c->spec.fd);
        erase_memory(c->in, sizeof(c->in));
        erase_memory(c->out, sizeof(c->out));
        free(c);
        return NULL;
}

static int flush(TunnelChannel *c) {
        while (c->open && c->out_size > 0) {
                ssize_t n = tls_write(c->tls, c->out, c->out_size);

                if (n == -EAGAIN)
                        return 0;
                if (n < 0)
                        return (int) n;
                c->out_size -= (size_t) n;
                memmove(c->out, c->out + n, c->out_size);
        }
        return 0;
}

/* Takes the complete lines out of the buffer. */
static int take_lines(TunnelChannel *c) {
        char *end;

        while ((end = memchr(c->in, '\n', c->in_size))) {
                size_t n = (size_t) (end - c->in);
                TunnelMessage m;
                int r;

                *end = 0;
                r = strlen(c->in) == n ? tunnel_message_read(c->in, &m) : -EBADMSG;
                if (r >= 0)
                        r = c->spec.received(c, &m, c->spec.userdata);
                if (r < 0)
                        return r;
                c->in_size -= n + 1;
                memmove(c->in, end + 1, c->in_size);
        }
        return c->in_size == sizeof(c->in) ? -EBADMSG : 0;
}

/* 1: something was read. */
static int fill(TunnelChannel *c) {
        ssize_t n = tls_read(c->tls, c->in + c->in_size, sizeof(c->in) - c->in_size);

        if (n == -EAGAIN)
                return 0;
        if (n <= 0)
                return n < 0 ? (int) n : -ECONNRESET;
        c->in_size += (size_t) n;
        return 1;
}

static int run(TunnelChannel *c, char **reterr) {
        int r;

        if (!c->open) {
                r = tls_handshake(c->tls, reterr);
                if (r < 0)
                        return r;
                c->open = true;
                if (c->spec.opened)
                        c->spec.opened(c, c->spec.userdata);
        }
        for (unsigned i = 0; i < TURNS_MAX; i++) {
                r = fill(c);
                if (r > 0)
                        r = take_lines(c);
                else if (r == 0)
                        break;
                if (r < 0)
                        return r;
        }
        return flush(c);
}

static void end(TunnelChannel *c, int r, const char *why) {
        if (!c->ends) {
                c->ends = true;
                c->spec.ended(c, r, why, c->spec.userdata);
        }
}

static int turn(TunnelChannel *c) {
        _cleanup_free_ char *why = NULL;
        bool out;
        int r = run(c, &why);

        if (r < 0 && r != -EAGAIN) {
                end(c, r, why);
                return 0;
        }
        /* What TLS has read already wakes nobody: a socket that can be written to does. */
        out = tls_wants_write(c->tls) || (c->open && (c->out_size > 0 || tls_has_more(c->tls)));
        r = loop_source_set_io_events(c->io, (uint32_t) EPOLLIN | (out ? (uint32_t) EPOLLOUT : 0));
        if (r < 0)
                end(c, r, NULL);
        return 0;
}

static int on_io(_unused_ LoopSource *s, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        return turn(userdata);
}

int tunnel_channel_send(TunnelChannel *c, const TunnelMessage *m) {
        char line[TUNNEL_LINE_MAX];
        size_t n;
        int r;

        tunnel_message_write(m, line);
        n = strlen(line);
        if (n > sizeof(c->out) - c->out_size)
                return -ENOBUFS;
        memcpy(c->out + c->out_size, line, n);
        c->out_size += n;
        erase_memory(line, sizeof(line));
        r = flush(c);
        if (r >= 0 && c->out_size > 0)
                r = loop_source_set_io_events(c->io, (uint32_t) EPOLLIN | (uint32_t) EPOLLOUT);
        return r;
}

int tunnel_channel_new(
                Loop *loop, const TlsContext *tls, const TunnelChannelSpec *spec, TunnelChannel **ret) {
        TunnelChannel *c = calloc(1, sizeof(TunnelChannel));
        int r;

        if (!c) {
                (void) fd_close(spec->fd);
                return -ENOMEM;
        }
        c->spec = *spec;
        r = tls_new(tls, spec->fd, spec->host, &c->tls);
        /* The client's first turn comes when the socket is connected. */
        if (r >= 0)
                r = loop_add_io(loop, spec->fd, (uint32_t) EPOLLIN | (spec->host ? (uint32_t) EPOLLOUT : 0),
                                on_io, c, &c->io);
        if (r < 0) {
                tunnel_channel_free(c);
                return r;
        }
        *ret = c;
        return 0;
}
