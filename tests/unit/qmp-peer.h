/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A QMP client and a scripted peer at the other end of a socketpair. What the client's handlers saw is collected as
 * words in one string, so that a test shows the order of things as a person would write it. */

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "qmp-client.h"
#include "strutil.h"
#include "test.h"

#define SECOND UINT64_C(1000000)
#define GREETING                                                                                            \
        "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \"major\": 10}, \"package\": "     \
        "\"Debian 1:10.0.2+ds-2+deb13u1~bpo12+1\"}, \"capabilities\": [\"oob\"]}}\r\n" /* QEMU 10.0.2's own */
#define CAPABLE "{\"return\": {}, \"id\": 1}\r\n"

typedef struct Fixture {
        Loop *loop;
        QmpClient *client;
        int peer;
        Text seen;
        bool unref_in_handler;
        int handler_result;
} Fixture;

static inline int on_event(_unused_ QmpClient *c, const char *name, const Json *data, void *userdata) {
        Fixture *f = userdata;

        text_putf(&f->seen, "%s%s ", name, data ? "+" : "");
        if (f->unref_in_handler)
                f->client = qmp_client_unref(f->client);
        return f->handler_result;
}

static inline int on_disconnect(QmpClient *c, int error, void *userdata) {
        Fixture *f = userdata;

        text_putf(&f->seen, "disconnect:%s ", error == 0 ? "0" : strerrorname_np(-error));
        assert_non_null(qmp_client_failure(c));
        assert_error(qmp_call(c, "late", NULL, NULL, NULL), ENOTCONN);
        if (f->unref_in_handler)
                f->client = qmp_client_unref(f->client);
        return 0;
}

static inline int on_reply(QmpClient *c, int error, const Json *value, const char *desc, void *userdata) {
        Fixture *f = userdata;

        if (error == 0)
                assert_non_null(value);
        else {
                assert_null(value);
                assert_non_null(desc);
        }
        text_putf(&f->seen, "%s ", error == 0 ? "reply" : strerrorname_np(-error));
        if (error == -EREMOTEIO)
                text_putf(&f->seen, "(%s) ", qmp_client_error_class(c));
        if (f->unref_in_handler)
                f->client = qmp_client_unref(f->client);
        return f->handler_result;
}

static inline void peer_send(Fixture *f, const char *text) {
        assert_ok(fd_write_all(f->peer, text, strlen(text)));
}

static inline void spin(Fixture *f) {
        while (loop_once(f->loop, 0) > 0)
                ;
}

/* What the client has written so far. */
static inline void peer_expect(Fixture *f, const char *text) {
        char buf[4096];
        ssize_t n = recv(f->peer, buf, sizeof(buf) - 1, MSG_DONTWAIT);

        buf[MAX(n, (ssize_t) 0)] = 0;
        assert_string_equal(buf, text);
}

static inline void seen(Fixture *f, const char *words) {
        spin(f);
        assert_string_equal(f->seen.data ?: "", words);
        text_done(&f->seen);
        f->seen = (Text) {};
}

static inline void failure_contains(Fixture *f, const char *words) {
        assert_non_null(qmp_client_failure(f->client));
        if (!strstr(qmp_client_failure(f->client), words))
                fail_msg("'%s' does not contain '%s'", qmp_client_failure(f->client), words);
}

static inline int setup_raw(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        int fds[2];

        assert_non_null(f);
        assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
        assert_ok(loop_new(&f->loop));
        assert_ok(qmp_client_new(f->loop, fds[0], &f->client));
        qmp_client_set_handlers(f->client, on_event, on_disconnect, f);
        f->peer = fds[1];
        *state = f;
        return 0;
}

/* Greeted, and capabilities negotiated. */
static inline int setup(void **state) {
        Fixture *f;

        (void) setup_raw(state);
        f = *state;
        peer_send(f, GREETING CAPABLE);
        spin(f);
        peer_expect(f, "{\"execute\":\"qmp_capabilities\",\"id\":1}\r\n");
        return 0;
}

static inline int teardown(void **state) {
        Fixture *f = *state;

        f->client = qmp_client_unref(f->client);
        (void) fd_close(f->peer);
        loop_unref(f->loop);
        text_done(&f->seen);
        free(f);
        return 0;
}

#define T(f)     cmocka_unit_test_setup_teardown(f, setup, teardown)
#define T_RAW(f) cmocka_unit_test_setup_teardown(f, setup_raw, teardown)
