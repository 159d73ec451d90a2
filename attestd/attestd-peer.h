/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The TLS client certificate of each connection. */

#include "attestd-tls.h"
#include "httpd-peer.h"

/* For HttpdPeers, with TLS: asks for a certificate. */
void *peer_begin(struct MHD_Connection *connection);
/* Looked at once for each connection; weak. Without memory the client has no certificate. authority: of hosts, or NULL. */
const TlsPeer *peer_certificate(struct MHD_Connection *connection, TlsAuthority *authority);
