/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which tunnels a relay has: a text file with "ID HASH" in each line, where HASH is the SHA-256 of the tunnel's token in hexadecimal. "#" begins a
 * comment line. Who reads the file cannot open a tunnel. */

#include <stddef.h>
#include <stdint.h>

#include "crypto-hash.h"
#include "macro.h"
#include "tunnel-message.h"

#define TUNNEL_LIST_MAX      4096u
#define TUNNEL_LIST_SIZE_MAX (TUNNEL_LIST_MAX * 256u)

typedef struct TunnelEntry {
        char id[TUNNEL_ID_MAX + 1];
        uint8_t hash[SHA256_SIZE];
} TunnelEntry;

typedef struct TunnelList {
        TunnelEntry *entries; /* owned */
        size_t n;
} TunnelList;

void tunnel_list_done(TunnelList *l);
/* 0, -ENOMEM, or -EINVAL with an error message that names the line. */
_warn_unused_result_ int tunnel_list_read(const char *text, size_t size, TunnelList *ret, char **reterr);
const TunnelEntry *tunnel_list_find(const TunnelList *l, const char *id);
/* Whether this token opens the tunnel: 1 or 0, or what hashing failed with. */
_warn_unused_result_ int tunnel_list_allows(
                const TunnelList *l, const char *id, const uint8_t token[static TUNNEL_TOKEN_SIZE]);
