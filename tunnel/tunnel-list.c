/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel-list.h"

#include <errno.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "secret.h"
#include "strutil.h"

void tunnel_list_done(TunnelList *l) {
        free(l->entries);
        *l = (TunnelList) {};
}

const TunnelEntry *tunnel_list_find(const TunnelList *l, const char *id) {
        FOREACH_ARRAY(e, l->entries, l->n)
                if (streq(e->id, id))
                        return e;
        return NULL;
}

static int read_line(char *line, TunnelEntry *ret) {
        char *blank = strchr(line, ' ');

        if (!blank)
                return -EINVAL;
        *blank = 0;
        if (tunnel_id_check(line) < 0 || hex_decode_exact(blank + 1, ret->hash, SHA256_SIZE) < 0)
                return -EINVAL;
        memcpy(ret->id, line, strlen(line) + 1);
        return 0;
}

int tunnel_list_read(const char *text, size_t size, TunnelList *ret, char **reterr) {
        _cleanup_(tunnel_list_done) TunnelList l = {};
        _cleanup_strv_free_ char **lines = NULL;
        unsigned number = 0;
        int r;

        if (strlen(text) != size)
                return error_set(reterr, -EINVAL, "it contains NUL bytes");
        r = strv_split(text, '\n', &lines);
        if (r < 0)
                return r;
        l.entries = calloc(TUNNEL_LIST_MAX, sizeof(TunnelEntry));
        if (!l.entries)
                return -ENOMEM;
        STRV_FOREACH(line, lines) {
                TunnelEntry e = {};

                number++;
                if (!**line || **line == '#')
                        continue;
                if (read_line(*line, &e) < 0)
                        return error_set(reterr, -EINVAL,
                                        "line %u: expected ID and the SHA-256 of its token in hexadecimal",
                                        number);
                if (tunnel_list_find(&l, e.id))
                        return error_set(reterr, -EINVAL, "line %u: '%s' is there already", number, e.id);
                if (l.n >= TUNNEL_LIST_MAX)
                        return error_set(reterr, -EINVAL, "more than %u tunnels", TUNNEL_LIST_MAX);
                l.entries[l.n++] = e;
        }
        *ret = TAKE_STRUCT(l, (TunnelList) {});
        return 0;
}

int tunnel_list_allows(const TunnelList *l, const char *id, const uint8_t token[static TUNNEL_TOKEN_SIZE]) {
        const TunnelEntry *e = tunnel_list_find(l, id);
        uint8_t hash[SHA256_SIZE];
        int r = hash_digest(HASH_SHA256, token, TUNNEL_TOKEN_SIZE, hash);

        if (r < 0)
                return r;
        return e && constant_time_equal(hash, e->hash, sizeof(hash));
}
