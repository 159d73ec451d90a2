/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-peer.h"

#include <stdlib.h>

typedef struct PeerTls {
        bool looked; /* `tls` is filled */
        TlsPeer tls;
} PeerTls;

/* NULL without TLS. */
static gnutls_session_t session_of(struct MHD_Connection *connection) {
        const union MHD_ConnectionInfo *info =
                        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

        return info ? info->tls_session : NULL;
}

void *peer_begin(struct MHD_Connection *connection) {
        tls_ask_certificate(session_of(connection));
        return calloc(1, sizeof(PeerTls));
}

const TlsPeer *peer_certificate(struct MHD_Connection *connection, TlsAuthority *authority) {
        static const TlsPeer nobody = {};
        gnutls_session_t session = session_of(connection);
        PeerTls *p = httpd_peer_kept(connection);

        if (!p || !session)
                return &nobody;
        if (!p->looked && tls_peer(session, authority, &p->tls) < 0)
                return &nobody;
        p->looked = true;
        return &p->tls;
}
