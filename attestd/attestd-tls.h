/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who is at the other end of a TLS session: certificates of clients. Everybody is asked for one, nobody needs to have one here; routes
 * decide. Owners are known by their certificate's SHA-256, hosts by whose authority signed theirs. */

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stdint.h>

#include "macro.h"

#define TLS_HANDSHAKE_MAX 16384u /* bytes of a message, a chain of certificates included */

typedef struct TlsAuthority TlsAuthority;

/* The certificates (PEM) that sign those of hosts. -EINVAL with a sentence. */
_warn_unused_result_ int tls_authority_new(const char *pem, TlsAuthority **ret, char **reterr);
TlsAuthority *tls_authority_free(TlsAuthority *a);
DEFINE_TRIVIAL_CLEANUP_FUNC(TlsAuthority *, tls_authority_free);

typedef struct TlsPeer {
        bool has_certificate; /* within its dates; the session shows that its key is there */
        uint8_t fingerprint[32];
        bool is_host; /* of the authority's, made for clients */
} TlsPeer;

/* Before the handshake. */
void tls_ask_certificate(gnutls_session_t session);
/* After it; authority may be NULL. -EIO: the library failed. */
_warn_unused_result_ int tls_peer(gnutls_session_t session, const TlsAuthority *authority, TlsPeer *ret);
