/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The public end: hosts and owners connect to it, and it connects to nobody. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-tls.h"
#include "loop.h"
#include "macro.h"
#include "tunnel-list.h"

typedef struct TunnelRelay TunnelRelay;

typedef enum TunnelEvent {
        TUNNEL_UP,       /* an owner's end connected */
        TUNNEL_DOWN,     /* it is gone */
        TUNNEL_REPLACED, /* another one with the same token took its place */
        TUNNEL_DENIED,   /* wrong id or token */
        TUNNEL_FULL,     /* a host was refused: the tunnel has all the connections that it may have */
} TunnelEvent;

typedef struct TunnelRelaySettings {
        const char *name;         /* weak; of the relay, at most 189 characters: hosts use ID.name */
        unsigned connections_max; /* hosts, of all tunnels */
        unsigned tunnel_max;      /* hosts, of one tunnel */
        /* id is what the peer said; it has the form of an id. */
        void (*told)(void *userdata, TunnelEvent event, const char *id);
        void *userdata;
} TunnelRelaySettings;

/* Takes the list and the context, but not on failure. */
_warn_unused_result_ int tunnel_relay_new(Loop *loop, const TunnelRelaySettings *settings, TunnelList *list,
                TlsContext *tls, TunnelRelay **ret);
TunnelRelay *tunnel_relay_free(TunnelRelay *r); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(TunnelRelay *, tunnel_relay_free);
/* A new connection; takes fd. */
void tunnel_relay_accept(TunnelRelay *r, int fd);
/* From now on these count, unless they are NULL. Tunnels whose entry changed or is gone end. Takes both. */
void tunnel_relay_reload(TunnelRelay *r, TunnelList *list, TlsContext *tls);
