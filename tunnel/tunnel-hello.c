/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Theory of operation: strangers send these bytes. They are copied out of their records, since a client may cut the message anywhere; then each
 * length is a reader inside the one around it. What is not the name of the server is skipped.
 *
 *   record      type 22, version, length 2       RFC 8446 5.1
 *   handshake   type 1, length 3                 RFC 8446 4
 *   ClientHello version 2, random 32, session id <1>, cipher suites <2>, compression <1>, extensions <2>
 *   extension   type 2 (0: server_name), data <2>; its list <2> has entries: type 1 (0: host name), name <2>    RFC 6066 3 */

#include "tunnel-hello.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "bytes.h"

#define RECORD_HANDSHAKE 22u
#define RECORD_MAX       16384u /* RFC 8446 5.1 */
#define CLIENT_HELLO     1u
#define SERVER_NAME      0u
#define HOST_NAME        0u
#define RANDOM_SIZE      32u

static int be16(ByteReader *r, size_t *ret) {
        const uint8_t *p;
        int k = byte_reader_take(r, 2, &p);

        if (k >= 0)
                *ret = (size_t) p[0] << 8 | p[1];
        return k;
}

static int list8(ByteReader *r, ByteReader *ret) {
        uint8_t n = 0;
        int k = byte_reader_u8(r, &n);

        return k < 0 ? k : byte_reader_sub(r, n, ret);
}

static int list16(ByteReader *r, ByteReader *ret) {
        size_t n = 0;
        int k = be16(r, &n);

        return k < 0 ? k : byte_reader_sub(r, n, ret);
}

/* The beginning of the handshake messages out of their records. 1: the first message is complete; 0: not yet. */
static int join_records(const uint8_t *data, size_t size, uint8_t *buf, size_t *ret_size) {
        ByteReader r = byte_reader(data, size);
        size_t have = 0;

        for (;;) {
                size_t n = 0, here;
                const uint8_t *p;
                uint8_t type = 0;

                if (have >= 4) {
                        size_t message = 4 + ((size_t) buf[1] << 16 | (size_t) buf[2] << 8 | buf[3]);

                        if (buf[0] != CLIENT_HELLO || message > TUNNEL_HELLO_MAX)
                                return -EBADMSG;
                        if (have >= message) {
                                *ret_size = message;
                                return 1;
                        }
                }
                if (byte_reader_u8(&r, &type) < 0)
                        return 0;
                if (type != RECORD_HANDSHAKE)
                        return -EBADMSG;
                if (byte_reader_take(&r, 2, &p) < 0)
                        return 0;
                if (p[0] != 3)
                        return -EBADMSG;
                if (be16(&r, &n) < 0)
                        return 0;
                here = MIN(n, byte_reader_left(&r));
                if (n == 0 || n > RECORD_MAX || have + here > TUNNEL_HELLO_MAX ||
                                byte_reader_copy(&r, buf + have, here) < 0)
                        return -EBADMSG;
                have += here;
        }
}

static int read_name(ByteReader *list, char *ret) {
        ByteReader name;
        uint8_t type = 0;
        size_t n;

        if (byte_reader_u8(list, &type) < 0 || type != HOST_NAME || list16(list, &name) < 0 ||
                        byte_reader_left(list) > 0)
                return -EBADMSG;
        n = byte_reader_left(&name);
        if (n == 0 || n > TUNNEL_NAME_MAX)
                return -EBADMSG;
        for (size_t i = 0; i < n; i++) {
                char c = (char) name.data[name.pos + i];

                if (c >= 'A' && c <= 'Z')
                        c = (char) (c - 'A' + 'a');
                if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
                        return -EBADMSG;
                ret[i] = c;
        }
        ret[n] = 0;
        return 0;
}

static int read_extensions(ByteReader *extensions, char *ret) {
        bool found = false;

        while (byte_reader_left(extensions) > 0) {
                ByteReader body, list;
                size_t type = 0;

                if (be16(extensions, &type) < 0 || list16(extensions, &body) < 0)
                        return -EBADMSG;
                if (type != SERVER_NAME)
                        continue;
                if (found || list16(&body, &list) < 0 || byte_reader_left(&body) > 0 ||
                                read_name(&list, ret) < 0)
                        return -EBADMSG;
                found = true;
        }
        return 0;
}

int tunnel_hello_read(const uint8_t *data, size_t size, char ret_name[static TUNNEL_NAME_MAX + 1]) {
        uint8_t buf[TUNNEL_HELLO_MAX];
        char name[TUNNEL_NAME_MAX + 1] = "";
        ByteReader r, part;
        size_t n = 0;
        int k = join_records(data, size, buf, &n);

        if (k <= 0)
                return k;
        r = byte_reader(buf + 4, n - 4);
        if (byte_reader_skip(&r, 2 + RANDOM_SIZE) < 0 || list8(&r, &part) < 0 || list16(&r, &part) < 0 ||
                        list8(&r, &part) < 0)
                return -EBADMSG;
        if (byte_reader_left(&r) > 0 &&
                        (list16(&r, &part) < 0 || byte_reader_left(&r) > 0 ||
                                        read_extensions(&part, name) < 0))
                return -EBADMSG;
        memcpy(ret_name, name, strlen(name) + 1);
        return 1;
}
