/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One request at a time through libcurl, which is loaded on first use: programs that never ask the network neither link nor load
 * it. No redirects, no cookies, no credentials; certificates are checked against the system's store. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"

typedef struct HttpClient HttpClient;

typedef struct HttpAnswer {
        unsigned status;
        unsigned retry_after; /* seconds; 0: not said */
        uint8_t *body;        /* owned */
        size_t size;
        char *header; /* owned: the value of the one that was asked for; NULL: it was not there */
} HttpAnswer;

void http_answer_done(HttpAnswer *a);

/* -EOPNOTSUPP with an error message if libcurl is not installed. */
_warn_unused_result_ int http_client_new(HttpClient **ret, char **reterr);
HttpClient *http_client_free(HttpClient *c); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(HttpClient *, http_client_free);
#define _cleanup_http_client_ _cleanup_(http_client_freep)

typedef struct HttpRequest {
        const char *method, *url; /* borrowed, as is everything here */
        const void *body;         /* NULL: none */
        size_t body_size;
        const char *content_type;  /* of the body */
        const char *authorization; /* whole header line, a secret: "Authorization: Bearer ..."; or NULL */
        const char *ca_file; /* CA certificates, PEM or one in DER, instead of the system's trust store, or NULL */
        const char *cert_file, *key_file; /* to show to the server, PEM; or NULL */
        const char *header;               /* name of the header of the answer that is wanted, or NULL */
        unsigned timeout_seconds;
} HttpRequest;

#define HTTP_HEADER_MAX (32u * 1024) /* of the value of a header */

/* Whether it begins like one of the addresses below. */
bool http_url_valid(const char *url);
/* As http_client_get(), with any method. */
_warn_unused_result_ int http_client_request(
                HttpClient *c, const HttpRequest *q, size_t max, HttpAnswer *ret, char **reterr);
/* https://..., or http://... if the caller's URL says so, or unix:/SOCKET/... for HTTP to a socket of this machine. 0 with whatever status the server gave; -EHOSTUNREACH with an error message if
 * there was no answer, -E2BIG over `max` bytes, -ETIMEDOUT. */
_warn_unused_result_ int http_client_get(HttpClient *c, const char *url, size_t max,
                unsigned timeout_seconds, HttpAnswer *ret, char **reterr);
