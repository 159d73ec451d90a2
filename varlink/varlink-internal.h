/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the service side share and nobody else includes. */

#include <stdint.h>

#include "varlink-message.h"
#include "varlink.h"

typedef struct VarlinkCall VarlinkClient; /* a client and its one call are one thing */

struct VarlinkCall {
        VarlinkServer *server; /* borrowed */
        VarlinkClient *next;
        int fd; /* owned; -EBADF: the client has left, and only its call's answer is still to come */
        LoopSource *source;

        char *in; /* owned, VARLINK_MESSAGE_MAX bytes: begins with a message */
        size_t in_size, in_searched;
        bool read_closed;
        int fds[VARLINK_FDS_MAX]; /* owned: of the first message */
        size_t n_fds;

        char *out; /* owned */
        size_t out_size, out_sent;

        bool busy;   /* a handler has the call */
        bool oneway; /* nobody waits for its answer */
        bool subscribed;
        char **topics; /* owned */

        uint64_t active;  /* the server's count when it last sent something */
        bool dispatching; /* freed later */
};

struct VarlinkServer {
        Loop *loop;                    /* borrowed */
        const VarlinkService *service; /* borrowed */
        void *userdata;
        void (*dispatch)(VarlinkClient *c, const VarlinkMessage *m); /* varlink-service.c */
        LoopSource *source;
        VarlinkClient *clients;
        size_t n_clients;
        uint64_t activity;
};

/* varlink-client.c */
void varlink_client_free(VarlinkClient *c);
/* Closes the socket; frees the client unless somebody still uses it. */
void varlink_client_drop(VarlinkClient *c);
/* Takes the text; sends what the socket takes. */
void varlink_client_send(VarlinkClient *c, char *text, size_t size);
/* Its call is over, without an answer. */
void varlink_client_continue(VarlinkClient *c);
_warn_unused_result_ int varlink_client_watch(VarlinkClient *c);

/* varlink-service.c: one call; the handler may be done with it when this returns. */
void varlink_dispatch(VarlinkClient *c, const VarlinkMessage *m);
