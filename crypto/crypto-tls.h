/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* TLS 1.3 (RFC 8446) over a socket that does not wait: the control connection of a tunnel. What is forwarded through a tunnel has its own TLS,
 * which is not ended here. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "macro.h"

typedef struct TlsContext TlsContext;
typedef struct Tls Tls;

/* All functions: 0 or more; -EAGAIN (the socket is not ready); -EPROTO (the other end, or its certificate, is not as it should be); -ENOMEM;
 * or the errno of the socket. */

/* PEM: a chain with the server's certificate first, and its key. */
_warn_unused_result_ int tls_context_server(
                const char *certificate, const char *key, TlsContext **ret, char **reterr);
/* authorities: PEM; NULL: those of the system. */
_warn_unused_result_ int tls_context_client(const char *authorities, TlsContext **ret, char **reterr);
TlsContext *tls_context_free(TlsContext *c); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(TlsContext *, tls_context_free);

/* fd stays the caller's. host: the server's name or address, which its certificate must have; NULL: this end is the server. */
_warn_unused_result_ int tls_new(const TlsContext *c, int fd, const char *host, Tls **ret);
Tls *tls_free(Tls *t); /* takes NULL; returns NULL */
_warn_unused_result_ int tls_handshake(Tls *t, char **reterr);
/* How many bytes; 0: the other end has ended the connection properly. */
_warn_unused_result_ ssize_t tls_read(Tls *t, void *buf, size_t n);
_warn_unused_result_ ssize_t tls_write(Tls *t, const void *buf, size_t n);
/* The last -EAGAIN was for want of room to send. */
bool tls_wants_write(const Tls *t);
/* Bytes wait that were taken from the socket already. */
bool tls_has_more(const Tls *t);
