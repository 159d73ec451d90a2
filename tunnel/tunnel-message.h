/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the two ends of a tunnel say to each other: lines over the control connection, and the one line that begins a data connection.
 *
 *   owner to relay   "cvmspawn-tunnel/1 ID TOKEN", then "pong"
 *   relay to owner   "ok NAME" or "refused REASON", then "open TOKEN ADDRESS" for each host, and "ping"
 *   data connection  "cvmspawn-data/1 TOKEN", from the owner's end; then what the host sends, and what it gets
 *
 * A TOKEN is 32 bytes in hexadecimal. That of an owner is secret; that of a data connection is used once. ADDRESS is the host's, numeric, or "-". */

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"
#include "tunnel-hello.h"

#define TUNNEL_TOKEN_SIZE 32u
#define TUNNEL_ID_MAX     63u /* a label of a domain name, RFC 1035 */
#define TUNNEL_LINE_MAX   320u
#define TUNNEL_REASON_MAX 80u
#define TUNNEL_HOSTS_MAX  256u /* at once: an owner's end takes no more, whatever the relay says */
#define TUNNEL_DATA       "cvmspawn-data/1 "
/* The data connection's line, with its newline. */
#define TUNNEL_DATA_SIZE (sizeof(TUNNEL_DATA) - 1 + 2 * TUNNEL_TOKEN_SIZE + 1)

typedef enum TunnelWord {
        TUNNEL_HELLO,
        TUNNEL_OK,
        TUNNEL_REFUSED,
        TUNNEL_OPEN,
        TUNNEL_PING,
        TUNNEL_PONG,
        _TUNNEL_WORD_MAX,
} TunnelWord;

typedef struct TunnelMessage {
        TunnelWord word;
        char id[TUNNEL_ID_MAX + 1];         /* hello */
        uint8_t token[TUNNEL_TOKEN_SIZE];   /* hello, open */
        char address[INET6_ADDRSTRLEN];     /* open: of the host, or "-" */
        char reason[TUNNEL_REASON_MAX + 1]; /* refused: printable */
        char name[TUNNEL_NAME_MAX + 1];     /* ok: of the relay */
} TunnelMessage;

/* One line, without its newline: 0 or -EBADMSG. */
_warn_unused_result_ int tunnel_message_read(const char *line, TunnelMessage *ret);
/* The line with its newline; the caller erases it. */
void tunnel_message_write(const TunnelMessage *m, char ret[static TUNNEL_LINE_MAX]);
/* The line that begins a data connection, TUNNEL_DATA_SIZE bytes: 0 or -EBADMSG. */
_warn_unused_result_ int tunnel_data_read(
                const uint8_t *data, size_t size, uint8_t ret[static TUNNEL_TOKEN_SIZE]);
void tunnel_data_write(const uint8_t token[static TUNNEL_TOKEN_SIZE], char ret[static TUNNEL_DATA_SIZE + 1]);

/* 0, or -EINVAL: letters in lower case, digits and hyphens, as in a domain name. */
_warn_unused_result_ int tunnel_id_check(const char *id);

typedef struct TunnelUrl {
        char host[254];
        char port[6];
        char id[TUNNEL_ID_MAX + 1];
} TunnelUrl;

/* https://HOST[:PORT]/ID: 0, or -EINVAL with an error message. */
_warn_unused_result_ int tunnel_url_parse(const char *text, TunnelUrl *ret, char **reterr);
