/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The connections of a small server: who is at the other end, and which have been silent for too long. */

#include <microhttpd.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "httpd.h"

typedef struct HttpdPeer HttpdPeer;

typedef struct HttpdPeers {
        size_t max, spare;                       /* connections; see HTTPD_SPARE */
        time_t request_seconds;                  /* for a whole request */
        void *(*begin)(struct MHD_Connection *); /* what a server keeps of each, for free(); may be NULL */
        HttpdPeer *first, **last;                /* the longest without an answer first */
        size_t n;
        time_t swept;
} HttpdPeers;

/* With the limits set. */
void httpd_peers_init(HttpdPeers *l);
/* Disconnects those that have not sent a whole request in time. Waiting for an answer does not count. */
void httpd_peers_sweep(HttpdPeers *l);
/* Whether a connection of the last `msec` has not been answered yet. */
bool httpd_peers_are_fresh(const HttpdPeers *l, uint64_t msec);
void httpd_peer_on_connection(void *userdata, struct MHD_Connection *connection, void **socket_context,
                enum MHD_ConnectionNotificationCode code);
void httpd_peer_answered(struct MHD_Connection *connection);
void httpd_peer_waits(struct MHD_Connection *connection, bool waits);
/* What `begin` gave, or NULL. */
void *httpd_peer_kept(struct MHD_Connection *connection);
/* The address as text; for IPv6 the /64 network, since one machine can use all its addresses. NULL for other sockets. */
const char *httpd_peer_address(struct MHD_Connection *connection, char buf[static INET6_ADDRSTRLEN]);
/* The same, or "user UID". */
void httpd_peer_name(struct MHD_Connection *connection, char ret[static HTTPD_PEER_MAX]);
