/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The PROXY protocol, versions 1 and 2 (HAProxy's doc/proxy-protocol.txt, sections 2.1 and 2.2): what a TCP proxy sends before the bytes that it
 * forwards, to say from where they come. It is believed of proxies that the user named, of nobody else. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "macro.h"

/* With the extensions of version 2 that follow the addresses, which are skipped. */
#define PROXY_HEADER_MAX      1024u
#define PROXY_HEADER_TEXT_MAX 107u /* of version 1 */
#define PROXY_SOURCES_MAX     16u

/* How many bytes to read before the header is looked at again, so that none after it is read: 0 when it is whole, -EBADMSG when these bytes begin
 * none, -E2BIG when it is longer than PROXY_HEADER_MAX. */
_warn_unused_result_ int proxy_header_wanted(const uint8_t *data, size_t size);
/* The client's address out of a whole header. *ret_size is 0 where the proxy speaks for itself (a health check) or knows no address: the
 * connection's own counts. 0 or -EBADMSG. */
_warn_unused_result_ int proxy_header_read(
                const uint8_t *data, size_t size, struct sockaddr_storage *ret, socklen_t *ret_size);

/* A header of version 1 for a client at this numeric address, with ports and an own address that nobody reads; "PROXY UNKNOWN" where it is none.
 * The number of characters. */
size_t proxy_header_write(const char *address, char ret[static PROXY_HEADER_TEXT_MAX + 1]);

/* Who is at the other end of this socket, as proxy_header_write() takes it; "-" if it has no address. IPv4 as such also on a socket for both. */
void proxy_peer_address(int fd, char ret[static INET6_ADDRSTRLEN]);

typedef struct ProxySource {
        uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
        unsigned bits;       /* that count, of 128 */
} ProxySource;

/* Who may send such headers. */
typedef struct ProxySources {
        ProxySource items[PROXY_SOURCES_MAX];
        size_t n;
        bool local; /* every process that reaches a socket in the file system */
} ProxySources;

/* "10.0.0.5,fd00::/64,unix": 0, or -EINVAL with an error message that begins with the part that is wrong. */
_warn_unused_result_ int proxy_sources_parse(const char *text, ProxySources *ret, char **reterr);
bool proxy_sources_have(const ProxySources *s, const struct sockaddr_storage *peer);
