/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What --via=, --via-token-file= and --via-ca= name: the relay, and how an owner's end and the relay know each other. */

#include <stdint.h>

#include "crypto-tls.h"
#include "macro.h"
#include "tunnel-message.h"

typedef struct TunnelVia {
        TunnelUrl relay;
        uint8_t token[TUNNEL_TOKEN_SIZE]; /* secret */
        TlsContext *tls;                  /* owned */
} TunnelVia;

/* ca_file: NULL for the system's trust store. On failure *ret holds nothing. */
_warn_unused_result_ int tunnel_via_read(
                const char *url, const char *token_file, const char *ca_file, TunnelVia *ret, char **reterr);
void tunnel_via_done(TunnelVia *v);
