/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Client certificates. Every client is asked for one and none must send it; routes decide. Owners are identified by the SHA-256 of their
 * certificate, hosts by the CA that signed theirs. */

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stdint.h>

#include "macro.h"

#define TLS_HANDSHAKE_MAX 16384u /* bytes of a message, a chain of certificates included */

typedef struct TlsAuthority TlsAuthority;

/* The certificates (PEM) that sign those of hosts. -EINVAL with an error message. */
_warn_unused_result_ int tls_authority_new(const char *pem, TlsAuthority **ret, char **reterr);
TlsAuthority *tls_authority_free(TlsAuthority *a);
DEFINE_TRIVIAL_CLEANUP_FUNC(TlsAuthority *, tls_authority_free);

typedef struct TlsPeer {
        bool has_certificate; /* currently valid; the session proves that the client has its key */
        uint8_t fingerprint[32];
        int64_t until; /* when it expires */
        bool is_host;  /* signed by the CA for hosts, for TLS clients */
} TlsPeer;

/* What the server speaks: TLS 1.2 and 1.3, authenticated encryption only (no CBC, no SHA-1), as a GnuTLS priority string. */
const char *tls_priorities(void);

/* When the first of the certificates (PEM) expires: *ret in seconds since 1970. -EINVAL: there is none. */
_warn_unused_result_ int tls_expiry(const char *pem, int64_t *ret);
/* Before the handshake. */
void tls_ask_certificate(gnutls_session_t session);
/* After it; authority may be NULL. -EIO: the library failed. */
_warn_unused_result_ int tls_peer(gnutls_session_t session, const TlsAuthority *authority, TlsPeer *ret);
