/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel-owner.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "crypto-random.h"
#include "fd.h"
#include "proxy-header.h"
#include "secret.h"
#include "strutil.h"
#include "tunnel-channel.h"
#include "tunnel-pipe.h"

#define PIPES_MAX    TUNNEL_HOSTS_MAX
#define PAUSE_FIRST  (250u * 1000)
#define PAUSE_MAX    (30u * 1000000)
#define CONNECT_USEC (10u * 1000000) /* until the relay has said "ok" */
#define ADDRESSES    8u              /* of a relay: tried one after the other */

typedef struct Link {
        TunnelOwner *owner; /* weak */
        TunnelPipe *pipe;
} Link;

struct TunnelOwner {
        Loop *loop; /* weak */
        TunnelOwnerSettings settings;
        uint8_t token[TUNNEL_TOKEN_SIZE];
        TunnelChannel *channel;
        LoopSource *timer;
        bool up;
        bool told; /* that the relay is away */
        bool told_refusal;
        bool told_service; /* that it is not reachable */
        bool heard;        /* from the relay, since the timer came last */
        uint64_t pause;    /* before the next attempt */
        unsigned number;   /* of the attempt: which address */
        TunnelAddress relay;
        char refusal[TUNNEL_REASON_MAX + 20]; /* what the relay said, before it ended the connection */
        Link links[PIPES_MAX];
};

TunnelOwner *tunnel_owner_free(TunnelOwner *o) {
        if (!o)
                return NULL;
        tunnel_channel_free(o->channel);
        loop_source_unref(o->timer);
        FOREACH_ARRAY(l, o->links, PIPES_MAX)
                tunnel_pipe_free(l->pipe);
        erase_memory(o->token, sizeof(o->token));
        free(o);
        return NULL;
}

int tunnel_address_parse(const char *text, TunnelAddress *ret) {
        const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                .ai_socktype = SOCK_STREAM };
        const char *path = startswith(text, "unix:"), *colon = strrchr(text, ':');
        _cleanup_free_ char *host = NULL;
        struct addrinfo *found = NULL;
        TunnelAddress a = {};

        if (path) {
                struct sockaddr_un *un = (struct sockaddr_un *) &a.address;

                if (!*path || strlen(path) >= sizeof(un->sun_path))
                        return -EINVAL;
                un->sun_family = AF_UNIX;
                memcpy(un->sun_path, path, strlen(path));
                a.size = sizeof(*un);
        } else {
                if (!colon)
                        return -EINVAL;
                host = text[0] == '[' && colon - text >= 3 ? strndup(text + 1, (size_t) (colon - text) - 2)
                                                           : strndup(text, (size_t) (colon - text));
                if (!host)
                        return -ENOMEM;
                if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
                        return -EINVAL;
                memcpy(&a.address, found->ai_addr, found->ai_addrlen);
                a.size = found->ai_addrlen;
                freeaddrinfo(found);
        }
        *ret = a;
        return 0;
}

/* A descriptor that is being connected, or -errno. */
static int start(const TunnelAddress *a) {
        int fd = socket(a->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;
        static const int one = 1;

        if (fd < 0)
                return -errno;
        if (a->address.ss_family != AF_UNIX) {
                (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
                (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        }
        if (connect(fd, (const struct sockaddr *) &a->address, a->size) >= 0 || errno == EINPROGRESS)
                return fd;
        r = -errno;
        (void) fd_close(fd);
        return r;
}

/* Names are asked for at each attempt: a relay may move. */
static int resolve(TunnelOwner *o, const char **ret_why) {
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
        struct addrinfo *found = NULL;
        unsigned n = 0, wanted;
        int r = getaddrinfo(o->settings.relay.host, o->settings.relay.port, &hints, &found);

        if (r != 0) {
                *ret_why = gai_strerror(r);
                return -EHOSTUNREACH;
        }
        for (struct addrinfo *a = found; a && n < ADDRESSES; a = a->ai_next)
                n++;
        wanted = n > 0 ? o->number++ % n : 0;
        for (struct addrinfo *a = found; a; a = a->ai_next)
                if (wanted-- == 0) {
                        memcpy(&o->relay.address, a->ai_addr, a->ai_addrlen);
                        o->relay.size = a->ai_addrlen;
                        break;
                }
        freeaddrinfo(found);
        return 0;
}

/* The next attempt comes after a pause that grows, and is not the same for all owners of a relay that was restarted. */
static void again(TunnelOwner *o, const char *why) {
        char text[512];
        uint32_t random = 0;

        o->channel = tunnel_channel_free(o->channel);
        if (!o->told || (o->refusal[0] && !o->told_refusal)) {
                (void) snprintf(text, sizeof(text), "the relay '%s' is not reachable, trying again: %s",
                                o->settings.relay.host, why);
                o->settings.told(o->settings.userdata, /* up= */ false, text);
        }
        o->told = true;
        o->told_refusal = o->told_refusal || o->refusal[0];
        o->up = false;
        if (crypto_random(NULL, &random, sizeof(random)) < 0)
                random = 0;
        (void) loop_source_rearm(o->timer, o->pause / 2 + random % (o->pause / 2 + 1));
        o->pause = MIN(2 * o->pause, (uint64_t) PAUSE_MAX);
}

/* error: -errno of the service's socket, or 0. A host sees only that its connection ends; the log says why, once until a connection is good. A
 * service that ends connections is there. */
static void judge_service(TunnelOwner *o, int error) {
        bool away = error < 0 && error != -ECONNRESET && error != -EPIPE;
        char text[512];

        if (away && !o->told_service) {
                (void) snprintf(text, sizeof(text), "the service is not reachable: %s", strerror(-error));
                o->settings.told(o->settings.userdata, /* up= */ false, text);
        }
        o->told_service = away;
}

static void on_pipe_ended(TunnelPipe *p, void *userdata) {
        Link *l = userdata;

        judge_service(l->owner, tunnel_pipe_error(p));
        l->pipe = tunnel_pipe_free(l->pipe);
}

/* A host waits at the relay. What cannot be done is left: the relay gives up soon, and the host asks again. */
static void open_link(TunnelOwner *o, const TunnelMessage *m) {
        char line[TUNNEL_DATA_SIZE + 1], header[PROXY_HEADER_TEXT_MAX + 1];
        Link *free_link = NULL;
        int service, relay;

        FOREACH_ARRAY(l, o->links, PIPES_MAX)
                if (!l->pipe && !free_link)
                        free_link = l;
        if (!free_link)
                return;
        service = start(&o->settings.service);
        if (service < 0) {
                judge_service(o, service);
                return;
        }
        relay = start(&o->relay);
        if (relay < 0) {
                (void) fd_close(service);
                return;
        }
        tunnel_data_write(m->token, line);
        free_link->owner = o;
        (void) !tunnel_pipe_new(o->loop,
                        &(TunnelPipeSpec) { .a = service,
                                        .b = relay,
                                        .begin = line,
                                        .begin_size = TUNNEL_DATA_SIZE,
                                        .begin_a = header,
                                        .begin_a_size = o->settings.proxy_header
                                                        ? proxy_header_write(m->address, header)
                                                        : 0,
                                        .ended = on_pipe_ended,
                                        .userdata = free_link },
                        &free_link->pipe);
}

static void on_opened(TunnelChannel *c, void *userdata) {
        TunnelOwner *o = userdata;
        TunnelMessage m = { .word = TUNNEL_HELLO };

        memcpy(m.id, o->settings.relay.id, sizeof(m.id));
        memcpy(m.token, o->token, sizeof(m.token));
        (void) !tunnel_channel_send(c, &m);
        erase_memory(&m, sizeof(m));
}

static int on_message(TunnelChannel *c, const TunnelMessage *m, void *userdata) {
        TunnelOwner *o = userdata;
        char text[512];

        o->heard = true;
        if (!o->up && m->word == TUNNEL_OK) {
                const TunnelUrl *u = &o->settings.relay;

                o->up = true;
                o->told = o->told_refusal = false;
                (void) snprintf(text, sizeof(text), "hosts reach this service at https://%s.%s%s%s", u->id,
                                m->name, streq(u->port, "443") ? "" : ":",
                                streq(u->port, "443") ? "" : u->port);
                o->settings.told(o->settings.userdata, /* up= */ true, text);
                return loop_source_rearm(o->timer, TUNNEL_SILENCE_USEC);
        }
        /* When another end with the same token came, too: two that took the place of each other at once would never end. */
        if (m->word == TUNNEL_REFUSED) {
                (void) snprintf(o->refusal, sizeof(o->refusal), "it refuses: %s", m->reason);
                o->pause = PAUSE_MAX;
                return -EACCES;
        }
        if (o->up && m->word == TUNNEL_PING)
                return tunnel_channel_send(c, &(TunnelMessage) { .word = TUNNEL_PONG });
        if (!o->up || m->word != TUNNEL_OPEN)
                return -EBADMSG;
        open_link(o, m);
        return 0;
}

static void on_channel_ended(_unused_ TunnelChannel *c, int error, const char *why, void *userdata) {
        TunnelOwner *o = userdata;

        if (o->refusal[0])
                again(o, o->refusal);
        else if (error == -EPROTO || error == -EBADMSG)
                again(o, why ?: "it does not speak as a relay does");
        else
                again(o, why ?: strerror(-error));
}

static void attempt(TunnelOwner *o) {
        TunnelChannelSpec spec = { .host = o->settings.relay.host,
                .opened = on_opened,
                .received = on_message,
                .ended = on_channel_ended,
                .userdata = o };
        const char *why = NULL;
        int r;

        o->refusal[0] = 0;
        r = resolve(o, &why);
        if (r >= 0)
                r = spec.fd = start(&o->relay);
        if (r >= 0)
                r = tunnel_channel_new(o->loop, o->settings.tls, &spec, &o->channel);
        if (r >= 0)
                r = loop_source_rearm(o->timer, CONNECT_USEC);
        if (r < 0)
                again(o, why ?: strerror(-r));
}

static int on_timer(LoopSource *s, _unused_ uint64_t usec, void *userdata) {
        TunnelOwner *o = userdata;

        if (!o->channel)
                attempt(o);
        else if (!o->up || !o->heard)
                again(o, "it does not answer");
        else {
                o->heard = false;
                o->pause = PAUSE_FIRST; /* it was up for a while */
                return loop_source_rearm(s, TUNNEL_SILENCE_USEC);
        }
        return 0;
}

int tunnel_owner_new(Loop *loop, const TunnelOwnerSettings *settings,
                const uint8_t token[static TUNNEL_TOKEN_SIZE], TunnelOwner **ret) {
        TunnelOwner *o = calloc(1, sizeof(TunnelOwner));
        int r;

        if (!o)
                return -ENOMEM;
        o->loop = loop;
        o->settings = *settings;
        o->pause = PAUSE_FIRST;
        memcpy(o->token, token, TUNNEL_TOKEN_SIZE);
        r = loop_add_timer(loop, 0, on_timer, o, &o->timer);
        if (r < 0) {
                tunnel_owner_free(o);
                return r;
        }
        *ret = o;
        return 0;
}
