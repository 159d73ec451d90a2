/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A certificate authority that lives for one run, and a certificate of it for a TLS server on this machine: localhost,
 * 127.0.0.1, ::1. The authority's private key is forgotten at once. For trials and tests. */

#include "macro.h"
#include "secret.h"

typedef struct ThrowawayServer {
        char *ca, *certificate; /* owned; PEM */
        char *key;              /* owned, secret; PEM */
} ThrowawayServer;

void throwaway_server_done(ThrowawayServer *t);
/* P-256, valid for a week; -EIO if the library refuses. */
_warn_unused_result_ int throwaway_server_new(ThrowawayServer *ret);
