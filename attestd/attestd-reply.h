/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A request and its answer, without a network, as handlers see them. Refusals are problem details (RFC 9457): they tell a host what is
 * wrong, never what would be right. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "macro.h"

typedef struct Request {
        const char *method, *path;
        const char *authorization; /* header, or NULL */
        const char *body;
        size_t body_size;
        const uint8_t *certificate; /* SHA-256 of the client's certificate, whose key it has proven to hold; or NULL */
        int64_t certificate_until; /* until when that is valid; 0: not known */
        bool is_host;              /* its certificate is signed by the CA for hosts */
        bool cross_site;           /* from a page of another site, says the client's browser */
        const char *peer;          /* the client's address (for IPv6 its network), or NULL */
        int64_t local;             /* the owner who acts on this machine, not over the network; 0: nobody */
        bool is_file;              /* the body of an upload is in the file below instead of `body` */
        int fd;
        /* Filled by the router: */
        const char *id;     /* of the registration in the path, or NULL */
        const char *launch; /* the launch-id in the path, or NULL */
        int64_t owner;      /* with routes for owners */
} Request;

typedef struct Reply {
        unsigned status;
        Json *body;           /* owned; NULL: none */
        unsigned retry_after; /* seconds; 0: not said */
        const char *allow;    /* header, or NULL */
        bool closes;          /* it is the last on its connection */
        int error;            /* why status is 500, for the log */
} Reply;

void reply_done(Reply *r);

/* Takes the body, NULL is -ENOMEM. */
_warn_unused_result_ int reply_json(Reply *r, unsigned status, Json *body);
/* {"type": "urn:cvmspawn:problem:CODE", "title", "status", "code", "detail"}; 0 or -ENOMEM. */
_warn_unused_result_ int reply_problem(Reply *r, unsigned status, const char *code, const char *title,
                const char *format, ...) _printf_(5, 6);
