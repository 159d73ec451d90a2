/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The calling side of varlink, for programs that ask and wait: no event loop. */

#include <stdint.h>

#include "json.h"
#include "macro.h"
#include "varlink-message.h"

/* A message from a service may be longer than those that ours take: a guest's events have no fixed size. */
#define VARLINK_REPLY_MAX ((size_t) 1024 * 1024)
#define VARLINK_REPLY_FDS 4u

typedef struct VarlinkConnection {
        int fd;   /* owned */
        char *in; /* owned */
        size_t size, allocated, searched;
        size_t used;                /* of the reply that was handed out */
        int fds[VARLINK_REPLY_FDS]; /* owned: what came with replies */
        size_t n_fds;
} VarlinkConnection;

#define VARLINK_CONNECTION_NONE ((VarlinkConnection) { .fd = -EBADF })

/* CLOCK_MONOTONIC in microseconds, for deadlines. */
uint64_t varlink_usec(void);

/* Connects to the socket of this name in a folder, however long its path: 0 or the errno. */
_warn_unused_result_ int varlink_connection_open(int folder_fd, const char *name, VarlinkConnection *ret);
void varlink_connection_done(VarlinkConnection *c);
/* Takes parameters in every case. deadline: CLOCK_MONOTONIC in microseconds, UINT64_MAX: none. -ETIMEDOUT, -ECONNRESET. */
_warn_unused_result_ int varlink_connection_call(
                VarlinkConnection *c, const char *method, Json *parameters, bool more, uint64_t deadline);
/* The next answer. -ETIMEDOUT; -ECONNRESET: the service closed the connection; -EBADMSG, -EMSGSIZE: it does not speak varlink. */
_warn_unused_result_ int varlink_connection_receive(
                VarlinkConnection *c, uint64_t deadline, VarlinkReply *ret);
/* A descriptor that came with the reply; owned. -EBADMSG: none of this number did. */
_warn_unused_result_ int varlink_connection_take_fd(VarlinkConnection *c, uint64_t index);
