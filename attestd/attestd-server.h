/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* HTTP/1.1 over TLS for a Service, through libmicrohttpd, in one thread: its epoll descriptor is one source of the program's
 * event loop. Limits come first: connections, their memory, their age, the time without a byte, the size of a body. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "attestd-service.h"
#include "macro.h"

#define SERVER_CONNECTIONS_MAX   1024u
#define SERVER_CONNECTIONS_SPARE 64u /* from here on the oldest without an answer make room */
#define SERVER_IDLE_SECONDS      10u /* without a byte, the TLS handshake included */
#define SERVER_REQUEST_SECONDS   20u /* for a whole request, however slowly it drips */

typedef struct Server Server;

typedef struct ServerSettings {
        const Service *service;        /* borrowed, as is everything here */
        int listen_fd;                 /* negative: server_take() brings them */
        const char *certificate, *key; /* PEM; NULL: without TLS */
        const char *host_authority;    /* PEM, or NULL */
        const char *prefix;            /* of all paths, "" or "/attest" */
        void (*failed)(void *userdata, const Request *q, int error); /* for the log */
        void *userdata;
} ServerSettings;

/* -EINVAL with an error message: the certificate or the key is not usable. */
_warn_unused_result_ int server_new(const ServerSettings *settings, Server **ret, char **reterr);
Server *server_free(Server *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(Server *, server_free);
#define _cleanup_server_ _cleanup_(server_freep)

/* A connection that somebody else has accepted, with the client's address; takes the descriptor. */
void server_take(Server *s, int fd, const struct sockaddr_storage *address, socklen_t size);
/* Accepts no connection any more; those that are open are answered and closed. The socket is closed here, not for others that have it. */
void server_quiesce(Server *s);
/* No request is on its way. Connections that are between two requests, or have not begun one, do not count, but for `msec` after they were accepted. */
bool server_is_idle(const Server *s, uint64_t msec);
size_t server_connections(const Server *s);

/* Readable when there is something to do. */
int server_fd(const Server *s);
/* Does what can be done without waiting; *ret_usec is when to call again at the latest. */
_warn_unused_result_ int server_run(Server *s, uint64_t *ret_usec);
