/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Theory of operation: each connection is a peer, and its first bytes say which one. They are looked at and not taken (MSG_PEEK), so that what
 * comes next finds them.
 *
 *   a ClientHello for the relay's name, or for none    the control connection of an owner: TLS ends here
 *   a ClientHello for ID.NAME                          a host: its bytes go to the owner's service, where its TLS ends
 *   "cvmspawn-data/1 TOKEN"                            a connection that the owner's end opened for the host that waits for it
 *
 * A host waits until the owner's end, told over the control connection, has opened a data connection with the one token that was made for
 * this host. Everything has a time limit and a number limit. */

#include "tunnel-relay.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "crypto-random.h"
#include "fd.h"
#include "proxy-header.h"
#include "secret.h"
#include "strutil.h"
#include "tunnel-channel.h"
#include "tunnel-hello.h"
#include "tunnel-message.h"
#include "tunnel-pipe.h"

#define STRANGERS_MAX  256u /* whose first bytes have not said who they are; the oldest one goes */
#define STRANGER_USEC  (10u * 1000000)
#define WAITING_USEC   (10u * 1000000) /* a host, for its data connection */
#define ALERT_INTERNAL 80u             /* RFC 8446 section 6 */
#define ALERT_UNKNOWN  112u            /* unrecognized_name */

typedef enum PeerStage {
        PEER_STRANGER, /* nothing is known yet */
        PEER_CONTROL,  /* an owner's end, before its token was checked */
        PEER_OWNER,    /* an owner's end */
        PEER_WAITING,  /* a host, without its data connection */
        PEER_HOST,     /* a host and its data connection */
        _PEER_STAGE_MAX,
} PeerStage;

typedef struct Peer Peer;
struct Peer {
        TunnelRelay *relay; /* weak */
        Peer *newer, *older;
        PeerStage stage;
        int fd; /* owned; -EBADF: the channel or the pipe has it */
        LoopSource *io, *timer;
        TunnelChannel *channel;
        TunnelPipe *pipe;
        size_t seen; /* stranger: how many bytes were there last time */
        unsigned silent;
        char id[TUNNEL_ID_MAX + 1];
        uint8_t token[TUNNEL_TOKEN_SIZE]; /* waiting */
};

struct TunnelRelay {
        Loop *loop; /* weak */
        TunnelRelaySettings settings;
        TunnelList list;
        TlsContext *tls;
        Peer *newest, *oldest;
        size_t n[_PEER_STAGE_MAX];
};

static void set_stage(Peer *p, PeerStage stage) {
        p->relay->n[p->stage]--;
        p->relay->n[stage]++;
        p->stage = stage;
}

static void peer_free(Peer *p) {
        TunnelRelay *r = p->relay;

        *(p->newer ? &p->newer->older : &r->newest) = p->older;
        *(p->older ? &p->older->newer : &r->oldest) = p->newer;
        r->n[p->stage]--;
        loop_source_unref(p->io);
        loop_source_unref(p->timer);
        tunnel_channel_free(p->channel);
        tunnel_pipe_free(p->pipe);
        (void) fd_close(p->fd);
        free(p);
}

static void tell(const TunnelRelay *r, TunnelEvent event, const char *id) {
        if (r->settings.told)
                r->settings.told(r->settings.userdata, event, id);
}

/* The connections of a tunnel in this stage. */
static void end_all(TunnelRelay *r, const char *id, PeerStage stage) {
        for (Peer *p = r->newest, *older; p; p = older) {
                older = p->older;
                if (p->stage == stage && streq(p->id, id))
                        peer_free(p);
        }
}

/* Hosts that wait would wait in vain: they are better off asking again. Those that have their connection keep it. */
static void peer_end(Peer *p) {
        TunnelRelay *r = p->relay;
        char id[TUNNEL_ID_MAX + 1];
        bool owner = p->stage == PEER_OWNER;

        memcpy(id, p->id, sizeof(id));
        peer_free(p);
        if (!owner)
                return;
        end_all(r, id, PEER_WAITING);
        tell(r, TUNNEL_DOWN, id);
}

static Peer *find_owner(const TunnelRelay *r, const char *id) {
        for (Peer *p = r->newest; p; p = p->older)
                if (p->stage == PEER_OWNER && streq(p->id, id))
                        return p;
        return NULL;
}

static size_t count_hosts(const TunnelRelay *r, const char *id) {
        size_t n = 0;

        for (const Peer *p = r->newest; p; p = p->older)
                n += (p->stage == PEER_WAITING || p->stage == PEER_HOST) && streq(p->id, id);
        return n;
}

/* A fatal alert, so that the client's message says more than that the connection was lost. What it sent is taken first: a connection with unread
 * bytes is reset, and the alert with it. */
static void refuse(Peer *p, uint8_t description) {
        const uint8_t alert[] = { 21, 3, 3, 0, 2, 2, description };
        uint8_t buf[TUNNEL_HELLO_MAX];

        (void) recv(p->fd, buf, sizeof(buf), MSG_DONTWAIT);
        (void) send(p->fd, alert, sizeof(alert), MSG_DONTWAIT | MSG_NOSIGNAL);
        (void) shutdown(p->fd, SHUT_WR);
        peer_end(p);
}

static int on_control(_unused_ TunnelChannel *c, const TunnelMessage *m, void *userdata) {
        Peer *p = userdata, *before;
        TunnelMessage ok = { .word = TUNNEL_OK };
        TunnelRelay *relay = p->relay;
        int r;

        if (p->stage == PEER_OWNER) {
                p->silent = 0;
                return m->word == TUNNEL_PONG ? 0 : -EBADMSG;
        }
        if (m->word != TUNNEL_HELLO)
                return -EBADMSG;
        r = tunnel_list_allows(&relay->list, m->id, m->token);
        if (r < 0)
                return r;
        if (r == 0) {
                tell(relay, TUNNEL_DENIED, m->id);
                (void) !tunnel_channel_send(p->channel,
                                &(TunnelMessage) { .word = TUNNEL_REFUSED,
                                                .reason = "unknown tunnel, or wrong token" });
                return -EACCES;
        }
        /* The newest is right: of a connection that broke, the relay hears late. */
        before = find_owner(relay, m->id);
        if (before) {
                end_all(relay, m->id, PEER_WAITING);
                (void) !tunnel_channel_send(before->channel,
                                &(TunnelMessage) { .word = TUNNEL_REFUSED,
                                                .reason = "another service with the same token took its place" });
                peer_free(before);
        }
        memcpy(p->id, m->id, sizeof(p->id));
        set_stage(p, PEER_OWNER);
        tell(relay, before ? TUNNEL_REPLACED : TUNNEL_UP, p->id);
        memcpy(ok.name, relay->settings.name, strlen(relay->settings.name) + 1);
        r = loop_source_rearm(p->timer, TUNNEL_PING_USEC);
        return r < 0 ? r : tunnel_channel_send(p->channel, &ok);
}

static void on_control_ended(
                _unused_ TunnelChannel *c, _unused_ int error, _unused_ const char *why, void *userdata) {
        peer_end(userdata);
}

static void control(Peer *p) {
        const TunnelChannelSpec spec = {
                .fd = TAKE_FD(p->fd), .received = on_control, .ended = on_control_ended, .userdata = p
        };

        p->io = loop_source_unref(p->io);
        set_stage(p, PEER_CONTROL);
        if (tunnel_channel_new(p->relay->loop, p->relay->tls, &spec, &p->channel) < 0)
                peer_end(p);
}

static void host(Peer *p, const char *id) {
        TunnelRelay *relay = p->relay;
        TunnelMessage m = { .word = TUNNEL_OPEN };
        Peer *owner = find_owner(relay, id);

        proxy_peer_address(p->fd, m.address);

        if (!owner)
                return refuse(p, tunnel_list_find(&relay->list, id) ? ALERT_INTERNAL : ALERT_UNKNOWN);
        if (relay->n[PEER_WAITING] + relay->n[PEER_HOST] >= relay->settings.connections_max ||
                        count_hosts(relay, id) >= relay->settings.tunnel_max) {
                tell(relay, TUNNEL_FULL, id);
                return refuse(p, ALERT_INTERNAL);
        }
        if (crypto_random(NULL, m.token, sizeof(m.token)) < 0 ||
                        loop_source_rearm(p->timer, WAITING_USEC) < 0)
                return peer_end(p);
        if (tunnel_channel_send(owner->channel, &m) < 0) {
                peer_end(owner);
                return refuse(p, ALERT_INTERNAL);
        }
        p->io = loop_source_unref(p->io);
        memcpy(p->id, id, strlen(id) + 1);
        memcpy(p->token, m.token, sizeof(p->token));
        set_stage(p, PEER_WAITING);
}

static void on_pipe_ended(_unused_ TunnelPipe *pipe, void *userdata) {
        peer_end(userdata);
}

static int set_low_water(int fd, size_t n) {
        const int value = (int) n;

        return setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* p is the data connection of a host that waits, if its token is that of one. */
static void data(Peer *p) {
        TunnelRelay *relay = p->relay;
        uint8_t line[TUNNEL_DATA_SIZE], token[TUNNEL_TOKEN_SIZE];
        Peer *waiting = NULL;

        if (recv(p->fd, line, sizeof(line), MSG_DONTWAIT) != (ssize_t) sizeof(line) ||
                        tunnel_data_read(line, sizeof(line), token) < 0)
                return peer_end(p);
        for (Peer *w = relay->newest; w; w = w->older)
                if (w->stage == PEER_WAITING && constant_time_equal(w->token, token, sizeof(token)))
                        waiting = w;
        if (!waiting || set_low_water(p->fd, 1) < 0 || set_low_water(waiting->fd, 1) < 0)
                return peer_end(p);
        p->io = loop_source_unref(p->io);
        waiting->timer = loop_source_unref(waiting->timer);
        set_stage(waiting, PEER_HOST);
        if (tunnel_pipe_new(relay->loop,
                            &(TunnelPipeSpec) { .a = TAKE_FD(waiting->fd),
                                            .b = TAKE_FD(p->fd),
                                            .ended = on_pipe_ended,
                                            .userdata = waiting },
                            &waiting->pipe) < 0)
                peer_end(waiting);
        peer_end(p);
}

static void route(Peer *p, const char *name) {
        const char *relay = p->relay->settings.name, *dot = strchr(name, '.');
        char id[TUNNEL_ID_MAX + 1];
        size_t n = dot ? (size_t) (dot - name) : 0;

        if (!*name || streq(name, relay))
                return control(p);
        if (n == 0 || n > TUNNEL_ID_MAX || !streq(dot + 1, relay))
                return refuse(p, ALERT_UNKNOWN);
        memcpy(id, name, n);
        id[n] = 0;
        host(p, id);
}

static int on_stranger(_unused_ LoopSource *s, int fd, _unused_ uint32_t events, void *userdata) {
        char name[TUNNEL_NAME_MAX + 1];
        uint8_t buf[TUNNEL_HELLO_MAX];
        Peer *p = userdata;
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
        int r;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        /* Woken without a further byte: no more will come. */
        if (n <= 0 || (size_t) n == p->seen) {
                peer_end(p);
                return 0;
        }
        p->seen = (size_t) n;
        if (buf[0] == (uint8_t) TUNNEL_DATA[0])
                r = p->seen >= TUNNEL_DATA_SIZE;
        else
                r = tunnel_hello_read(buf, p->seen, name);
        if (r == 0 && p->seen < sizeof(buf))
                r = set_low_water(fd, buf[0] == (uint8_t) TUNNEL_DATA[0] ? TUNNEL_DATA_SIZE : p->seen + 1);
        else if (r == 0)
                r = -EBADMSG;
        else if (r > 0 && buf[0] == (uint8_t) TUNNEL_DATA[0])
                data(p);
        else if (r > 0)
                route(p, name);
        if (r < 0)
                peer_end(p);
        return 0;
}

/* An owner's end is asked whether it is still there; everybody else's time is over. */
static int on_timer(LoopSource *s, _unused_ uint64_t usec, void *userdata) {
        Peer *p = userdata;

        if (p->stage != PEER_OWNER || p->silent++ >= TUNNEL_SILENCE_USEC / TUNNEL_PING_USEC ||
                        loop_source_rearm(s, TUNNEL_PING_USEC) < 0 ||
                        tunnel_channel_send(p->channel, &(TunnelMessage) { .word = TUNNEL_PING }) < 0)
                peer_end(p);
        return 0;
}

static void make_room(TunnelRelay *r) {
        if (r->n[PEER_STRANGER] + r->n[PEER_CONTROL] < STRANGERS_MAX)
                return;
        for (Peer *p = r->oldest; p; p = p->newer)
                if (p->stage == PEER_STRANGER || p->stage == PEER_CONTROL)
                        return peer_end(p);
}

void tunnel_relay_accept(TunnelRelay *r, int fd) {
        static const int one = 1;
        Peer *p;

        make_room(r);
        p = calloc(1, sizeof(Peer));
        if (!p) {
                (void) fd_close(fd);
                return;
        }
        *p = (Peer) { .relay = r, .fd = fd, .older = r->newest };
        *(r->newest ? &r->newest->newer : &r->oldest) = p;
        r->newest = p;
        r->n[PEER_STRANGER]++;
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        if (loop_add_io(r->loop, fd, EPOLLIN, on_stranger, p, &p->io) < 0 ||
                        loop_add_timer(r->loop, STRANGER_USEC, on_timer, p, &p->timer) < 0)
                peer_end(p);
}

int tunnel_relay_new(Loop *loop, const TunnelRelaySettings *settings, TunnelList *list, TlsContext *tls,
                TunnelRelay **ret) {
        TunnelRelay *r = calloc(1, sizeof(TunnelRelay));

        if (!r)
                return -ENOMEM;
        *r = (TunnelRelay) {
                .loop = loop, .settings = *settings, .list = TAKE_STRUCT(*list, (TunnelList) {}), .tls = tls
        };
        *ret = r;
        return 0;
}

TunnelRelay *tunnel_relay_free(TunnelRelay *r) {
        if (!r)
                return NULL;
        while (r->newest)
                peer_free(r->newest);
        tunnel_list_done(&r->list);
        tls_context_free(r->tls);
        free(r);
        return NULL;
}

void tunnel_relay_reload(TunnelRelay *r, TunnelList *list, TlsContext *tls) {
        TunnelList before = r->list;

        if (tls) {
                tls_context_free(r->tls);
                r->tls = tls;
        }
        if (!list)
                return;
        r->list = TAKE_STRUCT(*list, (TunnelList) {});
        FOREACH_ARRAY(e, before.entries, before.n) {
                const TunnelEntry *now = tunnel_list_find(&r->list, e->id);
                Peer *owner;

                if (now && memcmp(now->hash, e->hash, sizeof(e->hash)) == 0)
                        continue;
                owner = find_owner(r, e->id);
                if (owner)
                        peer_end(owner);
                end_all(r, e->id, PEER_HOST);
        }
        tunnel_list_done(&before);
}
