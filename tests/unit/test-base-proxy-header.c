/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "proxy-header.h"
#include "test.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

typedef struct Case {
        const char *data;
        size_t size;
        int error;
        const char *address; /* NULL: none */
        uint16_t port;
} Case;

#define BYTES(s) s, sizeof(s) - 1

/* HAProxy's doc/proxy-protocol.txt has the texts of version 1; the bytes of version 2 were put together by hand from its section 2.2. */
static const Case cases[] = {
        { BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), 0, "255.255.255.255", 65535 },
        { BYTES("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"), 0, "192.168.0.1", 56324 },
        { BYTES("PROXY TCP6 2001:db8::7 ::1 1 2\r\n"), 0, "2001:db8::7", 1 },
        { BYTES("PROXY UNKNOWN\r\n"), 0, NULL, 0 },
        { BYTES("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), 0, NULL, 0 },
        { BYTES("PROXY TCP4 192.168.0.1 192.168.0.11 56324 65536\r\n"), EBADMSG, NULL, 0 },
        { BYTES("PROXY TCP4 192.168.0.1 192.168.0.11 56324\r\n"), EBADMSG, NULL, 0 },
        { BYTES("PROXY TCP4 192.168.0.1  192.168.0.11 56324 443\r\n"), EBADMSG, NULL, 0 },
        { BYTES("PROXY TCP4 2001:db8::7 ::1 1 2\r\n"), EBADMSG, NULL, 0 },
        { BYTES("PROXY TCP6 192.168.0.1 192.168.0.11 1 2\r\n"), EBADMSG, NULL, 0 },
        { BYTES("PROXY TCP4 192.168.0.1 192.168.0.11 -1 443\r\n"), EBADMSG, NULL, 0 },
        { BYTES("PROXY UDP4 192.168.0.1 192.168.0.11 1 443\r\n"), EBADMSG, NULL, 0 },
        { BYTES("PROXY TCP4 192.168.0.1\0 192.168.0.11 1 4\r\n"), EBADMSG, NULL, 0 },
        { BYTES("proxy tcp4 1.1.1.1 1.1.1.1 1 1\r\n"), EBADMSG, NULL, 0 },
        { BYTES("GET / HTTP/1.1\r\n"), EBADMSG, NULL, 0 },
        { BYTES("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 "), EBADMSG, NULL, 0 }, /* a TLS client */
        { BYTES(SIGNATURE "\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50"), 0, "192.0.2.1", 0x1234 },
        { BYTES(SIGNATURE "\x21\x11\0\x10\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50\4\0\1x"), 0, "192.0.2.1",
                        0x1234 }, /* a TLV */
        { BYTES(SIGNATURE "\x21\x21\0\x24"
                          "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x08\1\2\0\x50"),
                        0, "2001:db8::7", 0x0102 },
        { BYTES(SIGNATURE "\x20\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50"), 0, NULL, 0 }, /* LOCAL */
        { BYTES(SIGNATURE "\x20\0\0\0"), 0, NULL, 0 }, { BYTES(SIGNATURE "\x21\0\0\0"), 0, NULL, 0 },
        { BYTES(SIGNATURE "\x21\x11\0\x0b\xc0\0\2\1\xc0\0\2\2\x12\x34\0"), EBADMSG, NULL, 0 },
        { BYTES(SIGNATURE "\x21\x21\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50"), EBADMSG, NULL, 0 },
        { BYTES(SIGNATURE "\x21\x12\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50"), EBADMSG, NULL, 0 }, /* UDP */
        { BYTES(SIGNATURE "\x22\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50"), EBADMSG, NULL,
                        0 }, /* command 2 */
        { BYTES(SIGNATURE "\x31\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x34\0\x50"), EBADMSG, NULL,
                        0 }, /* version 3 */
};

static void headers(_unused_ void **state) {
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                struct sockaddr_storage a;
                char text[INET6_ADDRSTRLEN] = "";
                socklen_t size;

                if (c->error > 0) {
                        assert_error(proxy_header_read((const uint8_t *) c->data, c->size, &a, &size),
                                        c->error);
                        assert_int_equal(size, 0);
                        continue;
                }
                assert_ok(proxy_header_read((const uint8_t *) c->data, c->size, &a, &size));
                if (!c->address) {
                        assert_int_equal(size, 0);
                        continue;
                }
                if (a.ss_family == AF_INET) {
                        const struct sockaddr_in *in = (const struct sockaddr_in *) &a;

                        assert_int_equal(size, sizeof(*in));
                        assert_non_null(inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)));
                        assert_int_equal(ntohs(in->sin_port), c->port);
                } else {
                        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) &a;

                        assert_int_equal(a.ss_family, AF_INET6);
                        assert_int_equal(size, sizeof(*in6));
                        assert_non_null(inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)));
                        assert_int_equal(ntohs(in6->sin6_port), c->port);
                }
                assert_string_equal(text, c->address);
        }
}

/* What is asked for is never more than the header has, so that no byte after it is read; a part of one is refused. */
static void no_byte_too_many(_unused_ void **state) {
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                uint8_t data[PROXY_HEADER_MAX];
                struct sockaddr_storage a;
                size_t have = 0;
                socklen_t size;
                int wanted;

                if (c->error > 0)
                        continue;
                while ((wanted = proxy_header_wanted(data, have)) > 0) {
                        assert_error(proxy_header_read(data, have, &a, &size), EBADMSG);
                        assert_true(have + (size_t) wanted <= c->size);
                        /* They may come one at a time. */
                        data[have] = (uint8_t) c->data[have];
                        have++;
                }
                assert_int_equal(wanted, 0);
                assert_int_equal(have, c->size);
        }
}

static void too_long(_unused_ void **state) {
        uint8_t v2[16] = SIGNATURE "\x21\x11\x03\xf0", v1[200];

        assert_int_equal(proxy_header_wanted(v2, sizeof(v2)), PROXY_HEADER_MAX - 16);
        v2[15]++;
        assert_error(proxy_header_wanted(v2, sizeof(v2)), E2BIG);
        memset(v1, ' ', sizeof(v1));
        memcpy(v1, "PROXY", 5);
        assert_int_equal(proxy_header_wanted(v1, 106), 1);
        assert_error(proxy_header_wanted(v1, 107), EBADMSG);
}

static bool has(const char *sources, const char *address) {
        struct sockaddr_storage a = {};
        ProxySources s;

        assert_ok(proxy_sources_parse(sources, &s, NULL));
        if (strcmp(address, "unix") == 0)
                a.ss_family = AF_UNIX;
        else if (inet_pton(AF_INET, address, &((struct sockaddr_in *) &a)->sin_addr) == 1)
                a.ss_family = AF_INET;
        else {
                assert_int_equal(inet_pton(AF_INET6, address, &((struct sockaddr_in6 *) &a)->sin6_addr), 1);
                a.ss_family = AF_INET6;
        }
        return proxy_sources_have(&s, &a);
}

static void sources(_unused_ void **state) {
        static const char *const bad[] = { "", "10.0.0.1,", "10.0.0", "10.0.0.1/33", "::1/129", "localhost",
                "10.0.0.1/", "10.0.0.1/8x", "Unix" };

        assert_true(has("10.0.0.5", "10.0.0.5"));
        assert_true(has("10.0.0.5", "::ffff:10.0.0.5")); /* on a socket for both */
        assert_false(has("10.0.0.5", "10.0.0.4"));
        assert_false(has("10.0.0.5", "unix"));
        assert_true(has("10.0.0.5,unix", "unix"));
        assert_true(has("10.4.0.0/14", "10.7.255.255"));
        assert_false(has("10.4.0.0/14", "10.8.0.0"));
        assert_true(has("0.0.0.0/0", "1.2.3.4"));
        assert_false(has("0.0.0.0/0", "2001:db8::1"));
        assert_true(has("::/0", "1.2.3.4"));
        assert_true(has("fd00::/9,::1", "fd7f::1"));
        assert_false(has("fd00::/9", "fd80::1"));
        assert_true(has("fd00::1", "fd00::1"));
        assert_false(has("fd00::1", "fd00::2"));
        FOREACH_ARRAY(b, bad, ELEMENTSOF(bad)) {
                _cleanup_free_ char *error = NULL;
                ProxySources s;

                assert_error(proxy_sources_parse(*b, &s, &error), EINVAL);
                assert_non_null(strstr(error, "expected the address or the network of a proxy"));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(headers),
                cmocka_unit_test(no_byte_too_many),
                cmocka_unit_test(too_long),
                cmocka_unit_test(sources),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
