/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The owner's end: keeps the control connection to a relay, and opens a data connection for each host. It opens connections to the relay and to
 * the service alone, and never listens. */

#include <stdint.h>
#include <sys/socket.h>

#include "crypto-tls.h"
#include "loop.h"
#include "macro.h"
#include "tunnel-message.h"

typedef struct TunnelOwner TunnelOwner;

typedef struct TunnelAddress {
        struct sockaddr_storage address;
        socklen_t size;
} TunnelAddress;

typedef struct TunnelOwnerSettings {
        TunnelUrl relay;
        const TlsContext *tls; /* weak */
        TunnelAddress service;
        bool proxy_header; /* the service is told the host's address as the relay has it (proxy-header.h) */
        /* text: one sentence about the connection to the relay, good (up) or bad; or about the service, bad. */
        void (*told)(void *userdata, bool up, const char *text);
        void *userdata;
} TunnelOwnerSettings;

/* The first attempt is made when the loop runs. token is copied. */
_warn_unused_result_ int tunnel_owner_new(Loop *loop, const TunnelOwnerSettings *settings,
                const uint8_t token[static TUNNEL_TOKEN_SIZE], TunnelOwner **ret);
TunnelOwner *tunnel_owner_free(TunnelOwner *o); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(TunnelOwner *, tunnel_owner_free);
/* "127.0.0.1:8443", "[::1]:8443" or "unix:PATH": 0 or -EINVAL. */
_warn_unused_result_ int tunnel_address_parse(const char *text, TunnelAddress *ret);
