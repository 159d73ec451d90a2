/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The program cvmspawn-tunnel: its arguments, and the parts that its main file puts together. */

#include "macro.h"
#include "tunnel-list.h"
#include "verb.h"

typedef struct TunnelArgs {
        VerbCommon common;
        char *listen, *name, *tls_cert, *tls_key, *tunnels, *token_file;
        char *to, *via, *via_token, *via_ca;
        unsigned connections, per_tunnel;
        bool proxy_protocol;
} TunnelArgs;

#define TUNNEL_FILE_DEFAULT "/etc/cvmspawn/tunnels"

/* The file of --tunnels=; missing: -ENOENT with an error message. *ret_text may be NULL; else owned. */
_warn_unused_result_ int tunnel_read_file(
                const TunnelArgs *a, TunnelList *ret, char **ret_text, char **reterr);
/* A new tunnel: a token in a new file, and its hash in the file of --tunnels=. */
_warn_unused_result_ int tunnel_add(const TunnelArgs *a, const char *id, char **reterr);
/* Forwards until it is told to end. */
_warn_unused_result_ int tunnel_serve(const TunnelArgs *a, char **reterr);
/* Forwards what a relay passes on to the service of --to=, until it is told to end. */
_warn_unused_result_ int tunnel_connect(const TunnelArgs *a, char **reterr);
