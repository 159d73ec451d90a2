/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tunnel-message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "secret.h"
#include "strutil.h"

#define HELLO   "cvmspawn-tunnel/1 "
#define REFUSED "refused "
#define OPEN    "open "
#define OK      "ok "
#define HEX     (2 * TUNNEL_TOKEN_SIZE)

int tunnel_id_check(const char *id) {
        size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-");

        return n > 0 && n <= TUNNEL_ID_MAX && !id[n] && id[0] != '-' && id[n - 1] != '-' ? 0 : -EINVAL;
}

static int read_token(const char *text, uint8_t *ret) {
        return hex_decode_exact(text, ret, TUNNEL_TOKEN_SIZE) < 0 ? -EBADMSG : 0;
}

static int read_hello(const char *text, TunnelMessage *ret) {
        const char *blank = strchr(text, ' ');
        size_t n = blank ? (size_t) (blank - text) : 0;

        if (n == 0 || n > TUNNEL_ID_MAX)
                return -EBADMSG;
        memcpy(ret->id, text, n);
        return tunnel_id_check(ret->id) < 0 ? -EBADMSG : read_token(blank + 1, ret->token);
}

static int read_open(const char *text, TunnelMessage *ret) {
        const char *address = strlen(text) > HEX && text[HEX] == ' ' ? text + HEX + 1 : NULL;
        uint8_t bytes[sizeof(struct in6_addr)];
        char hex[HEX + 1];
        int r;

        if (!address || strlen(address) >= sizeof(ret->address) ||
                        (!streq(address, "-") && inet_pton(AF_INET, address, bytes) != 1 &&
                                        inet_pton(AF_INET6, address, bytes) != 1))
                return -EBADMSG;
        memcpy(ret->address, address, strlen(address) + 1);
        memcpy(hex, text, HEX);
        hex[HEX] = 0;
        r = read_token(hex, ret->token);
        erase_memory(hex, sizeof(hex));
        return r;
}

static int read_name(const char *text, TunnelMessage *ret) {
        size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.");

        if (n == 0 || n > TUNNEL_NAME_MAX || text[n])
                return -EBADMSG;
        memcpy(ret->name, text, n + 1);
        return 0;
}

static int read_reason(const char *text, TunnelMessage *ret) {
        size_t n = strlen(text);

        if (n == 0 || n > TUNNEL_REASON_MAX)
                return -EBADMSG;
        for (size_t i = 0; i < n; i++)
                if (text[i] < ' ' || text[i] > '~')
                        return -EBADMSG;
        memcpy(ret->reason, text, n + 1);
        return 0;
}

int tunnel_message_read(const char *line, TunnelMessage *ret) {
        TunnelMessage m = {};
        const char *rest;
        int r = 0;

        if (streq(line, "ping"))
                m.word = TUNNEL_PING;
        else if (streq(line, "pong"))
                m.word = TUNNEL_PONG;
        else if ((rest = startswith(line, HELLO))) {
                m.word = TUNNEL_HELLO;
                r = read_hello(rest, &m);
        } else if ((rest = startswith(line, OK))) {
                m.word = TUNNEL_OK;
                r = read_name(rest, &m);
        } else if ((rest = startswith(line, REFUSED))) {
                m.word = TUNNEL_REFUSED;
                r = read_reason(rest, &m);
        } else if ((rest = startswith(line, OPEN))) {
                m.word = TUNNEL_OPEN;
                r = read_open(rest, &m);
        } else
                r = -EBADMSG;
        if (r >= 0)
                *ret = m;
        erase_memory(&m, sizeof(m));
        return r;
}

static void put_hex(const uint8_t *token, char ret[static HEX + 1]) {
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < TUNNEL_TOKEN_SIZE; i++) {
                ret[2 * i] = digits[token[i] >> 4];
                ret[2 * i + 1] = digits[token[i] & 15];
        }
        ret[HEX] = 0;
}

void tunnel_message_write(const TunnelMessage *m, char ret[static TUNNEL_LINE_MAX]) {
        char hex[HEX + 1];

        put_hex(m->token, hex);
        switch (m->word) {
        case TUNNEL_HELLO:
                (void) snprintf(ret, TUNNEL_LINE_MAX, HELLO "%s %s\n", m->id, hex);
                break;
        case TUNNEL_REFUSED:
                (void) snprintf(ret, TUNNEL_LINE_MAX, REFUSED "%s\n", m->reason);
                break;
        case TUNNEL_OPEN:
                (void) snprintf(ret, TUNNEL_LINE_MAX, OPEN "%s %s\n", hex, m->address);
                break;
        case TUNNEL_OK:
                (void) snprintf(ret, TUNNEL_LINE_MAX, OK "%s\n", m->name);
                break;
        case TUNNEL_PING:
        case TUNNEL_PONG:
        case _TUNNEL_WORD_MAX:
                (void) snprintf(ret, TUNNEL_LINE_MAX, "%s\n", m->word == TUNNEL_PING ? "ping" : "pong");
                break;
        }
        erase_memory(hex, sizeof(hex));
}

int tunnel_data_read(const uint8_t *data, size_t size, uint8_t ret[static TUNNEL_TOKEN_SIZE]) {
        const size_t before = sizeof(TUNNEL_DATA) - 1;
        char hex[HEX + 1];

        if (size != TUNNEL_DATA_SIZE || memcmp(data, TUNNEL_DATA, before) != 0 || data[size - 1] != '\n')
                return -EBADMSG;
        memcpy(hex, data + before, HEX);
        hex[HEX] = 0;
        return read_token(hex, ret);
}

void tunnel_data_write(
                const uint8_t token[static TUNNEL_TOKEN_SIZE], char ret[static TUNNEL_DATA_SIZE + 1]) {
        char hex[HEX + 1];

        put_hex(token, hex);
        (void) snprintf(ret, TUNNEL_DATA_SIZE + 1, TUNNEL_DATA "%s\n", hex);
}

static int take(char *to, size_t max, const char *from, size_t n) {
        if (n == 0 || n >= max)
                return -EINVAL;
        memcpy(to, from, n);
        to[n] = 0;
        return 0;
}

/* NAME, 192.0.2.1 or [2001:db8::1], with a port or without. */
static int read_authority(const char *text, size_t n, TunnelUrl *u) {
        const char *port = NULL, *end = text + n;
        bool brackets = n > 0 && text[0] == '[';
        uint64_t number;

        if (brackets) {
                const char *close = memchr(text, ']', n);

                if (!close || take(u->host, sizeof(u->host), text + 1, (size_t) (close - text) - 1) < 0)
                        return -EINVAL;
                if (close + 1 < end) {
                        if (close[1] != ':')
                                return -EINVAL;
                        port = close + 2;
                }
        } else {
                const char *colon = memchr(text, ':', n);

                if (take(u->host, sizeof(u->host), text, (size_t) ((colon ?: end) - text)) < 0)
                        return -EINVAL;
                port = colon ? colon + 1 : NULL;
        }
        if (u->host[strspn(u->host,
                            brackets ? "0123456789abcdefABCDEF:."
                                     : "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")])
                return -EINVAL;
        if (!port)
                return take(u->port, sizeof(u->port), "443", 3);
        if (take(u->port, sizeof(u->port), port, (size_t) (end - port)) < 0 ||
                        u->port[strspn(u->port, "0123456789")] ||
                        parse_u64_max(u->port, UINT16_MAX, &number) < 0 || number == 0)
                return -EINVAL;
        return 0;
}

int tunnel_url_parse(const char *text, TunnelUrl *ret, char **reterr) {
        const char *rest = startswith(text, "https://"), *slash = rest ? strchr(rest, '/') : NULL;
        TunnelUrl u = {};

        if (!slash || read_authority(rest, (size_t) (slash - rest), &u) < 0 ||
                        take(u.id, sizeof(u.id), slash + 1, strlen(slash + 1)) < 0 ||
                        tunnel_id_check(u.id) < 0)
                return error_set(reterr, -EINVAL, "expected https://HOST[:PORT]/ID, not '%s'", text);
        *ret = u;
        return 0;
}
