/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A small HTTP/1.1 server for GET, through libmicrohttpd, in one thread: its descriptor is one source of the program's event loop. Handlers
 * never block; a client whose answer is not ready is suspended, and its handler is called again when the answer may be there. Limits
 * come first: connections, their memory, the time for a request, the time that a client may be kept. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define HTTPD_CONNECTIONS_MAX 2048u
#define HTTPD_SPARE           64u /* from here on the connection that has been silent longest makes room */
#define HTTPD_IDLE_SECONDS    10u /* without a byte */
#define HTTPD_REQUEST_SECONDS 15u /* for a whole request, however slowly it arrives */
#define HTTPD_PEER_MAX        64u
#define HTTPD_WAIT_KEY_MAX    192u

typedef struct Httpd Httpd;

typedef struct HttpdRequest {
        const char *target; /* path and query, not decoded */
        const char *peer;   /* address, or "user UID" of a socket in the file system */
        bool last;          /* the client has waited as long as it may: answer now */
} HttpdRequest;

typedef struct HttpdAnswer {
        unsigned status;
        const char *type; /* literal */
        char *body;       /* owned: taken */
        size_t size;
        unsigned retry_after;              /* seconds; 0: no header */
        unsigned max_age;                  /* seconds; 0: not to be kept */
        const char *warning;               /* literal: header Warning, or NULL */
        const char *header_name;           /* literal: one header more, or NULL */
        char *header_value;                /* owned: taken */
        char wait_key[HTTPD_WAIT_KEY_MAX]; /* with HTTPD_WAIT: what httpd_wake() names */
} HttpdAnswer;

#define HTTPD_WAIT 1
/* 0: *ret is the answer; HTTPD_WAIT; -errno: the connection is closed. */
typedef int (*HttpdHandler)(void *userdata, const HttpdRequest *q, HttpdAnswer *ret);

typedef struct HttpdSettings {
        int listen_fd; /* taken on success */
        HttpdHandler handler;
        void *userdata;
        unsigned wait_msec; /* how long a client may be kept */
} HttpdSettings;

_warn_unused_result_ int httpd_new(const HttpdSettings *settings, Httpd **ret);
Httpd *httpd_free(Httpd *h); /* takes NULL; returns NULL; waiting clients are disconnected */
DEFINE_TRIVIAL_CLEANUP_FUNC(Httpd *, httpd_free);

/* Readable when there is something to do. */
int httpd_fd(const Httpd *h);
/* Does what can be done without waiting; *ret_usec is when to call again at the latest. */
_warn_unused_result_ int httpd_run(Httpd *h, uint64_t *ret_usec);
/* Those that wait for this key are handled again, in the order in which they came. NULL: all. */
void httpd_wake(Httpd *h, const char *key);
/* Clients that wait at the moment. */
size_t httpd_waiting(const Httpd *h);
