/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who is connected: not too many, none for ever, each with its address and TLS client certificate. */

#include <microhttpd.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "attestd-tls.h"

typedef struct PeerList {
        struct Peer *first, **last; /* owned by libmicrohttpd's connections */
        size_t n;
        time_t swept;
        bool tls;
} PeerList;

void peer_list_init(PeerList *l, bool tls);
/* Disconnects, at most once a second, who has waited for too long. */
void peer_list_sweep(PeerList *l);
/* For MHD_OPTION_NOTIFY_CONNECTION; userdata: the PeerList. */
void peer_on_connection(void *userdata, struct MHD_Connection *connection, void **socket_context,
                enum MHD_ConnectionNotificationCode code);
void peer_answered(struct MHD_Connection *connection);

/* The address as text; for IPv6 the /64 network, since one machine can use all its addresses. NULL for other sockets. */
const char *peer_name(struct MHD_Connection *connection, char buf[static INET6_ADDRSTRLEN]);
/* Looked at once for each connection; weak. Without memory the client has no certificate. authority: of hosts, or NULL. */
const TlsPeer *peer_certificate(struct MHD_Connection *connection, TlsAuthority *authority);
