/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "proxy-header.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "strutil.h"

/* Section 2.2. */
static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";
#define V2_HEAD     16u
#define V2_LOCAL    0x20u
#define V2_PROXY    0x21u
#define V2_UNKNOWN  0x00u
#define V2_TCP4     0x11u
#define V2_TCP6     0x21u
#define V2_UNIX     0x31u
#define V2_IPV4_LEN 12u
#define V2_IPV6_LEN 36u

/* Section 2.1. */
#define V1_BEGIN "PROXY "

/* Both signatures are looked at in the bytes that both have. */
static bool begins(const uint8_t *data, size_t size, const void *with, size_t with_size) {
        return memcmp(data, with, MIN(size, with_size)) == 0;
}

static bool is_v2(const uint8_t *data, size_t size) {
        return begins(data, size, signature, sizeof(signature));
}

static size_t v2_size(const uint8_t head[static V2_HEAD]) {
        return V2_HEAD + ((size_t) head[14] << 8 | head[15]);
}

int proxy_header_wanted(const uint8_t *data, size_t size) {
        if (is_v2(data, size)) {
                if (size < V2_HEAD)
                        return (int) (size < sizeof(signature) ? sizeof(signature) - size : V2_HEAD - size);
                if (v2_size(data) > PROXY_HEADER_MAX)
                        return -E2BIG;
                return (int) (v2_size(data) - MIN(size, v2_size(data)));
        }
        if (!begins(data, size, V1_BEGIN, sizeof(V1_BEGIN) - 1))
                return -EBADMSG;
        if (size < sizeof(signature))
                return (int) (sizeof(signature) - size);
        if (data[size - 2] == '\r' && data[size - 1] == '\n')
                return 0;
        return size < PROXY_HEADER_TEXT_MAX ? 1 : -EBADMSG;
}

static void set_address(int family, const void *address, uint16_t port, struct sockaddr_storage *ret,
                socklen_t *ret_size) {
        if (family == AF_INET) {
                struct sockaddr_in *in = (struct sockaddr_in *) ret;

                *in = (struct sockaddr_in) { .sin_family = AF_INET, .sin_port = htons(port) };
                memcpy(&in->sin_addr, address, sizeof(in->sin_addr));
                *ret_size = sizeof(*in);
        } else {
                struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) ret;

                *in6 = (struct sockaddr_in6) { .sin6_family = AF_INET6, .sin6_port = htons(port) };
                memcpy(&in6->sin6_addr, address, sizeof(in6->sin6_addr));
                *ret_size = sizeof(*in6);
        }
}

static int read_v2(const uint8_t *data, size_t size, struct sockaddr_storage *ret, socklen_t *ret_size) {
        const uint8_t *p = data + V2_HEAD;
        size_t n = size - V2_HEAD;

        if (data[12] == V2_LOCAL)
                return 0;
        if (data[12] != V2_PROXY)
                return -EBADMSG;
        switch (data[13]) {
        case V2_UNKNOWN:
        case V2_UNIX:
                return 0;
        case V2_TCP4:
                if (n < V2_IPV4_LEN)
                        return -EBADMSG;
                set_address(AF_INET, p, (uint16_t) (p[8] << 8 | p[9]), ret, ret_size);
                return 0;
        case V2_TCP6:
                if (n < V2_IPV6_LEN)
                        return -EBADMSG;
                set_address(AF_INET6, p, (uint16_t) (p[32] << 8 | p[33]), ret, ret_size);
                return 0;
        default:
                return -EBADMSG;
        }
}

/* "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443" */
static int read_v1(const uint8_t *data, size_t size, struct sockaddr_storage *ret, socklen_t *ret_size) {
        _cleanup_strv_free_ char **words = NULL;
        uint8_t address[2][sizeof(struct in6_addr)];
        char line[PROXY_HEADER_TEXT_MAX + 1];
        uint64_t port[2];
        int family, r;

        if (memchr(data, 0, size))
                return -EBADMSG;
        memcpy(line, data, size - 2);
        line[size - 2] = 0;
        if (startswith(line, "PROXY UNKNOWN"))
                return 0;
        r = strv_split(line, ' ', &words);
        if (r < 0)
                return r;
        if (strv_length(words) != 6 || (!streq(words[1], "TCP4") && !streq(words[1], "TCP6")))
                return -EBADMSG;
        family = streq(words[1], "TCP4") ? AF_INET : AF_INET6;
        for (size_t i = 0; i < 2; i++)
                if (inet_pton(family, words[2 + i], address[i]) != 1 ||
                                parse_u64_max(words[4 + i], UINT16_MAX, &port[i]) < 0)
                        return -EBADMSG;
        set_address(family, address[0], (uint16_t) port[0], ret, ret_size);
        return 0;
}

int proxy_header_read(const uint8_t *data, size_t size, struct sockaddr_storage *ret, socklen_t *ret_size) {
        *ret = (struct sockaddr_storage) {};
        *ret_size = 0;
        if (proxy_header_wanted(data, size) != 0)
                return -EBADMSG;
        if (is_v2(data, size))
                return size == v2_size(data) ? read_v2(data, size, ret, ret_size) : -EBADMSG;
        return size <= PROXY_HEADER_TEXT_MAX ? read_v1(data, size, ret, ret_size) : -EBADMSG;
}

size_t proxy_header_write(const char *address, char ret[static PROXY_HEADER_TEXT_MAX + 1]) {
        uint8_t bytes[sizeof(struct in6_addr)];
        int n;

        if (inet_pton(AF_INET, address, bytes) == 1)
                n = snprintf(ret, PROXY_HEADER_TEXT_MAX + 1, "PROXY TCP4 %s 0.0.0.0 0 0\r\n", address);
        else if (inet_pton(AF_INET6, address, bytes) == 1)
                n = snprintf(ret, PROXY_HEADER_TEXT_MAX + 1, "PROXY TCP6 %s :: 0 0\r\n", address);
        else
                n = snprintf(ret, PROXY_HEADER_TEXT_MAX + 1, "PROXY UNKNOWN\r\n");
        return (size_t) n;
}

void proxy_peer_address(int fd, char ret[static INET6_ADDRSTRLEN]) {
        struct sockaddr_storage a = {};
        socklen_t size = sizeof(a);
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *) &a)->sin6_addr;
        const void *bytes = in6;

        if (getpeername(fd, (struct sockaddr *) &a, &size) < 0)
                a.ss_family = AF_UNSPEC;
        if (a.ss_family == AF_INET)
                bytes = &((const struct sockaddr_in *) &a)->sin_addr;
        else if (a.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(in6)) {
                a.ss_family = AF_INET;
                bytes = in6->s6_addr + 12;
        }
        if (a.ss_family == AF_UNSPEC || a.ss_family == AF_UNIX ||
                        !inet_ntop(a.ss_family, bytes, ret, INET6_ADDRSTRLEN))
                memcpy(ret, "-", 2);
}

static void map_ipv4(const void *address, uint8_t ret[static 16]) {
        memset(ret, 0, 10);
        memset(ret + 10, 0xff, 2);
        memcpy(ret + 12, address, 4);
}

static int parse_source(const char *text, ProxySource *ret) {
        _cleanup_free_ char *address = strdup(text);
        char *slash = address ? strchr(address, '/') : NULL;
        uint8_t bytes[sizeof(struct in6_addr)];
        uint64_t bits = 128;
        bool v4;

        if (!address)
                return -ENOMEM;
        if (slash)
                *slash = 0;
        v4 = inet_pton(AF_INET, address, bytes) == 1;
        if (v4)
                map_ipv4(bytes, ret->address);
        else if (inet_pton(AF_INET6, address, ret->address) != 1)
                return -EINVAL;
        if (slash && parse_u64_max(slash + 1, v4 ? 32 : 128, &bits) < 0)
                return -EINVAL;
        ret->bits = (unsigned) bits + (slash && v4 ? 96 : 0);
        return 0;
}

int proxy_sources_parse(const char *text, ProxySources *ret, char **reterr) {
        _cleanup_strv_free_ char **words = NULL;
        ProxySources s = {};
        int r = strv_split(text, ',', &words);

        if (r < 0)
                return r;
        for (char **w = words; w && *w; w++) {
                if (streq(*w, "unix")) {
                        s.local = true;
                        continue;
                }
                if (s.n == PROXY_SOURCES_MAX)
                        return error_set(reterr, -EINVAL, "more than %u proxies; name their network",
                                        PROXY_SOURCES_MAX);
                r = parse_source(*w, &s.items[s.n++]);
                if (r < 0)
                        return error_set(reterr, r,
                                        "'%s': expected the address or the network of a proxy, such as 192.0.2.7 or fd00::/64, or 'unix'",
                                        *w);
        }
        *ret = s;
        return 0;
}

static bool is_in(const ProxySource *s, const uint8_t address[static 16]) {
        size_t whole = s->bits / 8;
        uint8_t mask = (uint8_t) (0xff00u >> s->bits % 8);

        return memcmp(s->address, address, whole) == 0 &&
                        (mask == 0 || ((s->address[whole] ^ address[whole]) & mask) == 0);
}

bool proxy_sources_have(const ProxySources *s, const struct sockaddr_storage *peer) {
        uint8_t address[16];

        if (peer->ss_family == AF_UNIX)
                return s->local;
        if (peer->ss_family == AF_INET)
                map_ipv4(&((const struct sockaddr_in *) peer)->sin_addr, address);
        else if (peer->ss_family == AF_INET6)
                memcpy(address, &((const struct sockaddr_in6 *) peer)->sin6_addr, sizeof(address));
        else
                return false;
        FOREACH_ARRAY(i, s->items, s->n)
                if (is_in(i, address))
                        return true;
        return false;
}
