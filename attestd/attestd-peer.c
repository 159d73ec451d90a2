/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "attestd-server.h"

/* One connection; in a list, the longest without an answer first. */
typedef struct Peer {
        PeerList *list;
        struct Peer *next, **link;
        int fd;
        time_t since; /* when it was answered last, or accepted */
        bool told;    /* was disconnected for its age */
        bool looked;  /* `tls` is filled */
        TlsPeer tls;
} Peer;

void peer_list_init(PeerList *l, bool tls) {
        *l = (PeerList) { .last = &l->first, .tls = tls };
}

static time_t seconds(void) {
        struct timespec t;

        return clock_gettime(CLOCK_MONOTONIC, &t) < 0 ? 0 : t.tv_sec;
}

static void peer_link(Peer *p) {
        PeerList *l = p->list;

        p->since = seconds();
        p->next = NULL;
        p->link = l->last;
        *l->last = p;
        l->last = &p->next;
}

static void peer_unlink(Peer *p) {
        *p->link = p->next;
        if (p->next)
                p->next->link = p->link;
        else
                p->list->last = p->link;
}

static void peer_end(Peer *p) {
        p->told = true;
        if (p->fd >= 0)
                (void) shutdown(p->fd, SHUT_RDWR);
}

/* Before connections run out, the client that has waited longest without a complete request is disconnected, so that many silent or slow
 * clients cannot keep out others. */
static void make_room(const PeerList *l) {
        if (l->n <= SERVER_CONNECTIONS_MAX - SERVER_CONNECTIONS_SPARE)
                return;
        for (Peer *p = l->first; p; p = p->next)
                if (!p->told) {
                        peer_end(p);
                        return;
                }
}

static Peer *peer_of(struct MHD_Connection *connection) {
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

        return info ? info->socket_context : NULL;
}

/* NULL without TLS. */
static gnutls_session_t session_of(struct MHD_Connection *connection) {
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

        return info ? info->tls_session : NULL;
}

void peer_on_connection(void *userdata, struct MHD_Connection *connection, void **socket_context,
                enum MHD_ConnectionNotificationCode code) {
        const union MHD_ConnectionInfo *info;
        PeerList *l = userdata;
        Peer *p;

        if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
                p = *socket_context;
                if (p) {
                        peer_unlink(p);
                        l->n--;
                        free(p);
                }
                *socket_context = NULL;
                return;
        }
        p = calloc(1, sizeof(Peer));
        if (!p)
                return; /* ends by being idle only */
        info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *p = (Peer) { .list = l, .fd = info ? info->connect_fd : -EBADF };
        peer_link(p);
        l->n++;
        *socket_context = p;
        if (l->tls)
                tls_ask_certificate(session_of(connection));
        make_room(l);
}

void peer_answered(struct MHD_Connection *connection) {
        Peer *p = peer_of(connection);

        if (p) {
                peer_unlink(p);
                peer_link(p);
        }
}

/* A peer that sends a byte now and then is never idle; it is disconnected all the same. */
void peer_list_sweep(PeerList *l) {
        time_t now = seconds();

        if (now == l->swept)
                return;
        l->swept = now;
        for (Peer *p = l->first; p && now - p->since > (time_t) SERVER_REQUEST_SECONDS; p = p->next)
                if (!p->told)
                        peer_end(p);
}

const char *peer_name(struct MHD_Connection *connection, char buf[static INET6_ADDRSTRLEN]) {
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        const struct sockaddr *a = info ? info->client_addr : NULL;

        if (a && a->sa_family == AF_INET)
                return inet_ntop(
                                AF_INET, &((const struct sockaddr_in *) a)->sin_addr, buf, INET6_ADDRSTRLEN);
        if (a && a->sa_family == AF_INET6) {
                struct in6_addr in = ((const struct sockaddr_in6 *) a)->sin6_addr;

                if (!IN6_IS_ADDR_V4MAPPED(&in))
                        memset(in.s6_addr + 8, 0, 8);
                return inet_ntop(AF_INET6, &in, buf, INET6_ADDRSTRLEN);
        }
        return NULL;
}

const TlsPeer *peer_certificate(struct MHD_Connection *connection, TlsAuthority *authority) {
        static const TlsPeer nobody = {};
        gnutls_session_t session = session_of(connection);
        Peer *p = peer_of(connection);

        if (!p || !session)
                return &nobody;
        if (!p->looked && tls_peer(session, authority, &p->tls) < 0)
                return &nobody;
        p->looked = true;
        return &p->tls;
}
