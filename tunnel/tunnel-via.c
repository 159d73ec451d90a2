/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel-via.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "input.h"
#include "secret.h"

#define AUTHORITIES_MAX (1024u * 1024)

static int read_token(const char *path, uint8_t ret[static TUNNEL_TOKEN_SIZE], char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf text = {};
        char hex[2 * TUNNEL_TOKEN_SIZE + 1];
        size_t n;
        int r = input_read_secret("via-token-file", path, sizeof(hex), &text, reterr);

        if (r < 0)
                return r;
        n = text.size;
        if (n > 0 && text.data[n - 1] == '\n')
                n--;
        if (n == sizeof(hex) - 1) {
                memcpy(hex, text.data, n);
                hex[n] = 0;
                r = hex_decode_exact(hex, ret, TUNNEL_TOKEN_SIZE);
                erase_memory(hex, sizeof(hex));
        }
        return r < 0 || n != sizeof(hex) - 1
                        ? error_set(reterr, -EINVAL,
                                          "--via-token-file: '%s' is not a token that 'cvmspawn-tunnel add' wrote",
                                          path)
                        : 0;
}

int tunnel_via_read(const char *url, const char *token_file, const char *ca_file, TunnelVia *ret,
                char **reterr) {
        _cleanup_(tunnel_via_done) TunnelVia v = {};
        _cleanup_free_ char *authorities = NULL;
        size_t n = 0;
        int r = tunnel_url_parse(url, &v.relay, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "--via");
        r = read_token(token_file, v.token, reterr);
        if (r >= 0 && ca_file)
                r = input_read("via-ca", ca_file, AUTHORITIES_MAX, &authorities, &n, reterr);
        if (r < 0)
                return r;
        r = tls_context_client(authorities, &v.tls, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--via-ca");
        *ret = v;
        v.tls = NULL;
        return 0;
}

void tunnel_via_done(TunnelVia *v) {
        erase_memory(v->token, sizeof(v->token));
        tls_context_free(v->tls);
        *v = (TunnelVia) {};
}
