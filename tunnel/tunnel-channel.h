/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The control connection: lines over TLS, in the loop. */

#include "crypto-tls.h"
#include "loop.h"
#include "macro.h"
#include "tunnel-message.h"

#define TUNNEL_PING_USEC    (20u * 1000000) /* NAT forgets connections that are silent */
#define TUNNEL_SILENCE_USEC (60u * 1000000) /* the other end, or what is between, is gone */

typedef struct TunnelChannel TunnelChannel;

typedef struct TunnelChannelSpec {
        int fd;           /* taken, also on failure */
        const char *host; /* as for tls_new() */
        /* The handshake is done. May be NULL. */
        void (*opened)(TunnelChannel *c, void *userdata);
        /* -errno ends the connection. */
        int (*received)(TunnelChannel *c, const TunnelMessage *m, void *userdata);
        /* Once; it frees the channel. why: of this end or of TLS; NULL: error says it. */
        void (*ended)(TunnelChannel *c, int error, const char *why, void *userdata);
        void *userdata;
} TunnelChannelSpec;

_warn_unused_result_ int tunnel_channel_new(
                Loop *loop, const TlsContext *tls, const TunnelChannelSpec *spec, TunnelChannel **ret);
TunnelChannel *tunnel_channel_free(TunnelChannel *c); /* takes NULL; returns NULL */
/* Queues a line: 0, or -ENOBUFS if the other end does not read. What was queued before is sent when the loop runs. */
_warn_unused_result_ int tunnel_channel_send(TunnelChannel *c, const TunnelMessage *m);
