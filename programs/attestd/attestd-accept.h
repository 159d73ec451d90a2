/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Accepts connections itself, for --proxy-protocol=: those of the proxies that were named begin with a header that says whose they are
 * (proxy-header.h), which is read before anything else. Others are taken as they are. */

#include <sys/socket.h>

#include "loop.h"
#include "macro.h"
#include "proxy-header.h"

#define ACCEPT_PENDING_MAX 256u /* headers that are awaited; one more ends the oldest */
#define ACCEPT_HEADER_USEC 5000000u
#define ACCEPT_PAUSE_USEC  200000u /* without free descriptors */
#define ACCEPT_QUIET_USEC  60000000u

typedef struct Acceptor Acceptor;

typedef struct AcceptorSettings {
        int listen_fd;               /* taken, also on failure */
        const ProxySources *proxies; /* weak */
        /* Takes the descriptor. */
        void (*take)(void *userdata, int fd, const struct sockaddr_storage *address, socklen_t size);
        void *userdata;
} AcceptorSettings;

_warn_unused_result_ int acceptor_new(Loop *loop, const AcceptorSettings *settings, Acceptor **ret);
/* Takes NULL; returns NULL. What has not been handed over is closed, with the listening socket. */
Acceptor *acceptor_free(Acceptor *a);
DEFINE_TRIVIAL_CLEANUP_FUNC(Acceptor *, acceptor_free);
