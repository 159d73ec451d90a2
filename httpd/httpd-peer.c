/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "httpd-peer.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct HttpdPeer {
        HttpdPeers *list;
        HttpdPeer *next, **link;
        int fd;
        time_t since; /* when it was answered last, or accepted */
        bool told;    /* was disconnected for its age */
        bool answered;
        bool waits; /* for us */
        void *kept; /* owned */
};

void httpd_peers_init(HttpdPeers *l) {
        l->first = NULL;
        l->last = &l->first;
}

static time_t seconds(void) {
        struct timespec t;

        return clock_gettime(CLOCK_MONOTONIC, &t) < 0 ? 0 : t.tv_sec;
}

static void peer_link(HttpdPeer *p) {
        HttpdPeers *l = p->list;

        p->since = seconds();
        p->next = NULL;
        p->link = l->last;
        *l->last = p;
        l->last = &p->next;
}

static void peer_unlink(HttpdPeer *p) {
        *p->link = p->next;
        if (p->next)
                p->next->link = p->link;
        else
                p->list->last = p->link;
}

static void peer_end(HttpdPeer *p) {
        p->told = true;
        if (p->fd >= 0)
                (void) shutdown(p->fd, SHUT_RDWR);
}

static HttpdPeer *peer_of(struct MHD_Connection *connection) {
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

        return info ? info->socket_context : NULL;
}

/* Many silent or slow clients cannot keep out others. */
static void make_room(const HttpdPeers *l) {
        if (l->n <= l->max - l->spare)
                return;
        for (HttpdPeer *p = l->first; p; p = p->next)
                if (!p->told && !p->waits) {
                        peer_end(p);
                        return;
                }
}

void httpd_peer_on_connection(void *userdata, struct MHD_Connection *connection, void **socket_context,
                enum MHD_ConnectionNotificationCode code) {
        const union MHD_ConnectionInfo *info;
        HttpdPeers *l = userdata;
        HttpdPeer *p;

        if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
                p = *socket_context;
                if (p) {
                        peer_unlink(p);
                        l->n--;
                        free(p->kept);
                        free(p);
                }
                *socket_context = NULL;
                return;
        }
        p = calloc(1, sizeof(HttpdPeer));
        if (!p)
                return; /* ends by being idle only */
        info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *p = (HttpdPeer) { .list = l, .fd = info ? info->connect_fd : -EBADF };
        peer_link(p);
        l->n++;
        *socket_context = p;
        p->kept = l->begin ? l->begin(connection) : NULL;
        make_room(l);
}

void httpd_peer_answered(struct MHD_Connection *connection) {
        HttpdPeer *p = peer_of(connection);

        if (p) {
                p->answered = true;
                peer_unlink(p);
                peer_link(p);
        }
}

bool httpd_peers_are_fresh(const HttpdPeers *l, uint64_t msec) {
        time_t now = seconds();

        for (const HttpdPeer *p = l->first; p; p = p->next)
                if (!p->answered && !p->told && (uint64_t) (now - p->since) * 1000 < msec)
                        return true;
        return false;
}

void httpd_peer_waits(struct MHD_Connection *connection, bool waits) {
        HttpdPeer *p = peer_of(connection);

        if (p)
                p->waits = waits;
}

void httpd_peers_sweep(HttpdPeers *l) {
        time_t now = seconds();

        if (now == l->swept)
                return;
        l->swept = now;
        for (HttpdPeer *p = l->first; p && now - p->since > l->request_seconds; p = p->next)
                if (!p->told && !p->waits)
                        peer_end(p);
}

void *httpd_peer_kept(struct MHD_Connection *connection) {
        const HttpdPeer *p = peer_of(connection);

        return p ? p->kept : NULL;
}

const char *httpd_peer_address(struct MHD_Connection *connection, char buf[static INET6_ADDRSTRLEN]) {
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

void httpd_peer_name(struct MHD_Connection *connection, char ret[static HTTPD_PEER_MAX]) {
        const HttpdPeer *p = peer_of(connection);
        struct ucred user;
        socklen_t n = sizeof(user);

        static_assert(HTTPD_PEER_MAX >= INET6_ADDRSTRLEN, "an address has room");
        ret[0] = 0;
        if (!httpd_peer_address(connection, ret) && p &&
                        getsockopt(p->fd, SOL_SOCKET, SO_PEERCRED, &user, &n) >= 0)
                (void) snprintf(ret, HTTPD_PEER_MAX, "user %u", (unsigned) user.uid);
}
