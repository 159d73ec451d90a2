/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What comes in and goes out, the ways in which a connection ends, and what handlers may do. */

#include "test.h"

#include <errno.h>
#include <fcntl.h>

#include "qmp-peer.h"

static void queued_before_greeting(void **state) {
        Fixture *f = *state;
        QmpVersion v;
        Json *args;

        assert_ok(js_build(&args, "{s:s}", "type", "x"));
        assert_ok(qmp_call(f->client, "one", args, on_reply, f));
        peer_expect(f,
                        "{\"execute\":\"qmp_capabilities\",\"id\":1}\r\n"
                        "{\"arguments\":{\"type\":\"x\"},\"execute\":\"one\",\"id\":2}\r\n");
        assert_int_equal(qmp_client_outstanding(f->client), 2);
        assert_error(qmp_client_version(f->client, &v), EAGAIN);
        seen(f, "");
        peer_send(f, GREETING);
        seen(f, "");
        assert_ok(qmp_client_version(f->client, &v));
        assert_int_equal(v.major, 10);
        assert_int_equal(v.minor, 0);
        assert_int_equal(v.micro, 2);
        peer_send(f, CAPABLE "{\"return\": {}, \"id\": 2}\r\n");
        seen(f, "reply ");
        assert_int_equal(qmp_client_outstanding(f->client), 0);
}

static void events_on_either_side(void **state) {
        Fixture *f = *state;

        for (unsigned i = 0; i < 2; i++)
                assert_ok(qmp_call(f->client, "cont", NULL, on_reply, f));
        peer_send(f,
                        "{\"event\": \"RESUME\"}\r\n{\"return\": {}, \"id\": 2}\r\n"
                        "{\"return\": {}, \"id\": 3}\n{\"event\": \"STOP\", \"data\": {}}\n");
        seen(f, "RESUME reply reply STOP+ ");
}

static void replies_in_any_order(void **state) {
        Fixture *f = *state, other = {};

        assert_ok(qmp_call(f->client, "a", NULL, on_reply, &other));
        assert_ok(qmp_call(f->client, "b", NULL, on_reply, f));
        assert_ok(qmp_call(f->client, "c", NULL, NULL, NULL));
        peer_send(f, "{\"return\": 5, \"id\": 3}\r\n{\"return\": [], \"id\": 4}\r\n");
        seen(f, "reply ");
        assert_null(other.seen.data);
        /* The list's tail was taken out: a new call must be found after the rest. */
        assert_ok(qmp_call(f->client, "d", NULL, on_reply, f));
        peer_send(f, "{\"id\": 5, \"return\": null}\r\n{\"return\": {}, \"id\": 2}\r\n");
        seen(f, "reply ");
        assert_string_equal(other.seen.data, "reply ");
        text_done(&other.seen);
}

static void errors_have_class(void **state) {
        Fixture *f = *state;

        assert_ok(qmp_call(f->client, "bogus", NULL, on_reply, f));
        peer_send(f, "{\"id\": 2, \"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}}\r\n");
        seen(f, "EREMOTEIO (CommandNotFound) ");
}

static void byte_by_byte(void **state) {
        static const char text[] = "{\"event\": \"STOP\"}\r\n{\"return\": {}, \"id\": 2}\r\n";
        Fixture *f = *state;

        assert_ok(qmp_call(f->client, "stop", NULL, on_reply, f));
        for (const char *p = text; *p; p++) {
                assert_ok(fd_write_all(f->peer, p, 1));
                spin(f);
        }
        seen(f, "STOP reply ");
}

/* An answer of 2 MiB arrives in many reads, and what follows it is not lost. */
static void long_line(void **state) {
        Fixture *f = *state;
        _cleanup_(text_done) Text t = {};

        assert_ok(qmp_call(f->client, "long", NULL, on_reply, f));
        text_put(&t, "{\"return\": \"");
        for (unsigned i = 0; i < 2 * 1024 * 1024 / 64; i++)
                text_put(&t, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
        text_put(&t, "\", \"id\": 2}\r\n{\"event\": \"STOP\"}\r\n");
        assert_ok(t.error);
        for (size_t done = 0; done < t.size;) {
                ssize_t n = send(f->peer, t.data + done, t.size - done, MSG_DONTWAIT);

                if (n > 0)
                        done += (size_t) n;
                spin(f);
        }
        seen(f, "reply STOP ");
}

static void too_long_line(void **state) {
        Fixture *f = *state;
        static char blanks[64 * 1024];
        size_t sent = 0;

        memset(blanks, ' ', sizeof(blanks));
        assert_ok(qmp_call(f->client, "endless", NULL, on_reply, f));
        while (!qmp_client_failure(f->client)) {
                ssize_t n = send(f->peer, blanks, sizeof(blanks), MSG_DONTWAIT | MSG_NOSIGNAL);

                sent += n > 0 ? (size_t) n : 0;
                assert_true(sent <= QMP_LINE_MAX + 1048576);
                assert_int_equal(loop_once(f->loop, SECOND), 1);
        }
        seen(f, "ECONNRESET disconnect:EMSGSIZE ");
        failure_contains(f, "16 MiB");
}

/* What a peer may say that ends the connection at once. */
static void foreign_messages(void **state) {
        static const struct {
                const char *text, *sentence;
        } bad[] = {
                { "hello\r\n", "\"hello\": not valid JSON" },
                { "\r\n", "not valid JSON" },
                { "{\"return\": {}, \"id\": 2\r\n", "not valid JSON" },
                { "[]\r\n", "not a JSON object" },
                { "{}\r\n", "neither greeting, event, return nor error" },
                { "{\"return\": {}, \"error\": {\"class\": \"a\", \"desc\": \"b\"}, \"id\": 2}\r\n",
                                "neither" },
                { "{\"return\": {}}\r\n", "without an id" },
                { "{\"return\": {}, \"id\": 3}\r\n", "not sent, id 3" },
                { "{\"return\": {}, \"id\": 1}\r\n", "not sent, id 1" },
                { "{\"return\": {}, \"id\": \"2\"}\r\n", "unknown id" },
                { "{\"return\": {}, \"id\": -2}\r\n", "unknown id" },
                { "{\"return\": {}, \"id\": 2.0}\r\n", "unknown id" },
                { "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}\r\n",
                                "did not understand a command: JSON parse error" },
                { "{\"error\": {\"class\": \"GenericError\"}, \"id\": 2}\r\n", "without class or desc" },
                { "{\"error\": 5, \"id\": 2}\r\n", "without class or desc" },
                { "{\"event\": 5}\r\n", "event without a name" },
                { "{\"event\": \"X\", \"data\": 5}\r\n", "event without a name" },
                { "{\"return\": \"\xff\", \"id\": 2}\r\n", "?" },
                { "{\"id\": 2, \"id\": 2, \"return\": {}}\r\n", "duplicate" },
                { GREETING, "second QMP greeting" },
        };

        (void) state;
        FOREACH_ARRAY(b, bad, ELEMENTSOF(bad)) {
                void *p;
                Fixture *f;

                (void) setup(&p);
                f = p;
                assert_ok(qmp_call(f->client, "x", NULL, on_reply, f));
                peer_send(f, b->text);
                peer_send(f, "{\"event\": \"NEVER\"}\r\n");
                seen(f, "ECONNRESET disconnect:EPROTO ");
                failure_contains(f, b->sentence);
                (void) teardown(&p);
        }
}

static void too_deep(void **state) {
        Fixture *f = *state;
        char text[200] = "{\"event\": \"X\", \"data\": ", *p = text + strlen(text);

        for (unsigned i = 0; i < 40; i++)
                p = stpcpy(p, "[");
        for (unsigned i = 0; i < 40; i++)
                p = stpcpy(p, "]");
        (void) stpcpy(p, "}\r\n");
        peer_send(f, text);
        seen(f, "disconnect:EPROTO ");
        failure_contains(f, "nested");
}

static void first_words(void **state) {
        static const struct {
                const char *text, *sentence;
        } bad[] = {
                { "SSH-2.0-OpenSSH\r\n", "no QMP greeting: not a QMP message, \"SSH-2.0-OpenSSH\"" },
                { "{\"event\": \"RESUME\"}\r\n", "before the greeting" },
                { CAPABLE, "before the greeting" },
                { "{\"execute\":\"qmp_capabilities\",\"id\":1}\r\n", "no QMP greeting" }, /* an echo */
                { "{\"QMP\": {}}\r\n", "QMP greeting: QEMU's version" },
                { "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0}}}}\r\n",
                                "'major' is missing" },
        };

        (void) state;
        FOREACH_ARRAY(b, bad, ELEMENTSOF(bad)) {
                void *p;
                Fixture *f;

                (void) setup_raw(&p);
                f = p;
                peer_send(f, b->text);
                seen(f, "disconnect:EPROTO ");
                failure_contains(f, b->sentence);
                (void) teardown(&p);
        }
}

static void capabilities_refused(void **state) {
        Fixture *f = *state;

        assert_ok(qmp_call(f->client, "x", NULL, on_reply, f));
        peer_send(f,
                        GREETING
                        "{\"id\": 1, \"error\": {\"class\": \"GenericError\", \"desc\": \"never\"}}\r\n");
        seen(f, "ECONNRESET disconnect:EPROTO ");
        failure_contains(f, "refused qmp_capabilities: never");
}

static void closed_at_every_phase(void **state) {
        static const struct {
                const char *text, *words, *sentence;
        } phases[] = {
                { "", "ECONNRESET disconnect:EPROTO ", "before the greeting" },
                { "{\"QMP\": {\"ver", "ECONNRESET disconnect:EPROTO ", "before the greeting" },
                { GREETING, "ECONNRESET disconnect:0 ", "closed the QMP connection" },
                { GREETING CAPABLE, "ECONNRESET disconnect:0 ", "closed the QMP connection" },
                { GREETING CAPABLE "{\"return\": {}", "ECONNRESET disconnect:EPROTO ",
                                "middle of a message" },
                { GREETING CAPABLE "{\"return\": {}, \"id\": 2}\r", "ECONNRESET disconnect:EPROTO ",
                                "middle" },
                { GREETING CAPABLE "{\"return\": {}, \"id\": 2}\r\n", "reply disconnect:0 ", "closed" },
                { GREETING CAPABLE "{\"event\": \"SHUTDOWN\", \"data\": {}}\r\n",
                                "SHUTDOWN+ ECONNRESET disconnect:0 ", "closed" },
        };

        (void) state;
        for (unsigned unread = 0; unread < 2; unread++)
                FOREACH_ARRAY(ph, phases, ELEMENTSOF(phases)) {
                        char sink[4096];
                        void *p;
                        Fixture *f;

                        (void) setup_raw(&p);
                        f = p;
                        assert_ok(qmp_call(f->client, "x", NULL, on_reply, f));
                        peer_send(f, ph->text);
                        /* With bytes unread at the peer the kernel reports ECONNRESET instead of the end. */
                        if (unread == 0)
                                assert_true(recv(f->peer, sink, sizeof(sink), MSG_DONTWAIT) > 0);
                        f->peer = fd_close(f->peer);
                        seen(f, ph->words);
                        failure_contains(f, ph->sentence);
                        (void) teardown(&p);
                }
}

/* The peer is gone before we write: its last words are read all the same. */
static void last_words_after_epipe(void **state) {
        Fixture *f = *state;

        peer_send(f, "{\"event\": \"SHUTDOWN\", \"data\": {}}\r\n");
        f->peer = fd_close(f->peer);
        assert_ok(qmp_call(f->client, "x", NULL, on_reply, f));
        seen(f, "SHUTDOWN+ ECONNRESET disconnect:0 ");
}

static void peer_stops_reading(void **state) {
        Fixture *f = *state;

        assert_ok(shutdown(f->peer, SHUT_RD));
        assert_ok(qmp_call(f->client, "x", NULL, on_reply, f));
        seen(f, "ECONNRESET disconnect:0 ");
}

/* More than the socket buffer holds is sent in pieces, whole and in order. */
static void slow_peer(void **state) {
        Fixture *f = *state;
        static char text[1024 * 1024], buf[64 * 1024];
        unsigned lines = 0;

        memset(text, 'x', sizeof(text) - 1);
        for (unsigned i = 0; i < 4; i++) {
                Json *args;

                assert_ok(js_build(&args, "{s:s}", "text", text));
                assert_ok(qmp_call(f->client, "big", args, NULL, NULL));
        }
        while (lines < 4) {
                ssize_t n;

                spin(f);
                n = recv(f->peer, buf, sizeof(buf), MSG_DONTWAIT);
                assert_true(n > 0);
                for (ssize_t i = 0; i < n; i++)
                        lines += buf[i] == '\n';
        }
        seen(f, "");
        assert_int_equal(recv(f->peer, buf, sizeof(buf), MSG_DONTWAIT), -1);
}

static void limits(void **state) {
        Fixture *f = *state;
        char *huge;
        Json *args;

        for (unsigned i = 0; i < QMP_OUTSTANDING_MAX; i++)
                assert_ok(qmp_call(f->client, "x", NULL, NULL, NULL));
        assert_error(qmp_call(f->client, "x", NULL, NULL, NULL), EOVERFLOW);
        f->client = qmp_client_unref(f->client);

        (void) fd_close(f->peer);
        loop_unref(f->loop);
        free(f);
        (void) setup(state);
        f = *state;
        huge = malloc(QMP_LINE_MAX);
        assert_non_null(huge);
        memset(huge, 'x', QMP_LINE_MAX - 1);
        huge[QMP_LINE_MAX - 1] = 0;
        assert_ok(js_build(&args, "{s:s}", "text", huge));
        free(huge);
        assert_error(qmp_call(f->client, "x", args, NULL, NULL), EMSGSIZE);
        assert_int_equal(qmp_client_outstanding(f->client), 0);
}

static void unref_cancels(void **state) {
        Fixture *f = *state;

        assert_ok(qmp_call(f->client, "a", NULL, on_reply, f));
        assert_ok(qmp_call(f->client, "b", NULL, on_reply, f));
        f->client = qmp_client_unref(f->client);
        seen(f, "ECANCELED ECANCELED ");
}

static void unref_within_handlers(void **state) {
        static const char *const words[] = {
                "{\"event\": \"STOP\"}\r\n{\"event\": \"NEVER\"}\r\n",
                "{\"return\": {}, \"id\": 2}\r\n{\"event\": \"NEVER\"}\r\n",
                "nonsense\r\n{\"event\": \"NEVER\"}\r\n",
        };
        static const char *const expected[] = {
                "STOP ECANCELED ECANCELED ",
                "reply ECANCELED ",
                "ECONNRESET ECANCELED ",
        };

        (void) state;
        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                void *p;
                Fixture *f;

                (void) setup(&p);
                f = p;
                f->unref_in_handler = true;
                assert_ok(qmp_call(f->client, "a", NULL, on_reply, f));
                assert_ok(qmp_call(f->client, "b", NULL, on_reply, f));
                peer_send(f, words[i]);
                seen(f, expected[i]);
                assert_null(f->client);
                (void) teardown(&p);
        }
}

static void handler_error_ends_loop(void **state) {
        Fixture *f = *state;

        f->handler_result = -EXDEV;
        peer_send(f, "{\"event\": \"STOP\"}\r\n{\"event\": \"NEVER\"}\r\n");
        assert_error(loop_run(f->loop), EXDEV);
        assert_string_equal(f->seen.data, "STOP ");
}

/* Receives once: how many bytes, and whether a descriptor came with them. */
static int recv_fd(int fd, char *buf, size_t size, ssize_t *ret_n) {
        union {
                struct cmsghdr header;
                char buf[CMSG_SPACE(sizeof(int))];
        } control = {};
        struct iovec iov = { .iov_base = buf, .iov_len = size };
        struct msghdr msg = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        struct cmsghdr *cmsg;
        int received = -EBADF;

        *ret_n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        cmsg = CMSG_FIRSTHDR(&msg);
        if (*ret_n > 0 && cmsg && cmsg->cmsg_type == SCM_RIGHTS)
                memcpy(&received, CMSG_DATA(cmsg), sizeof(int));
        return received;
}

/* Read byte by byte, as QEMU's monitor does, each descriptor comes with its own command's first byte. */
static void descriptors(void **state) {
        Fixture *f = *state;
        unsigned line = 0, with_fd = 0;
        _cleanup_close_ int null = fd_open("/dev/null", O_RDONLY, 0);

        assert_ok(null);
        assert_ok(qmp_call(f->client, "a", NULL, on_reply, f));
        assert_ok(qmp_call_with_fd(f->client, "b", NULL, null, on_reply, f));
        assert_ok(qmp_call(f->client, "c", NULL, on_reply, f));
        assert_ok(qmp_call_with_fd(f->client, "d", NULL, null, on_reply, f));
        assert_error(qmp_call_with_fd(f->client, "e", NULL, -EBADF, on_reply, f), EBADF);

        for (bool first = true;; first = false) {
                ssize_t n;
                char ch;
                int fd = recv_fd(f->peer, &ch, 1, &n);

                if (n <= 0)
                        break;
                if (fd >= 0) {
                        assert_true(first || ch == '{');
                        with_fd |= 1u << line;
                        (void) fd_close(fd);
                }
                line += ch == '\n';
        }
        assert_int_equal(line, 4);
        assert_int_equal(with_fd, 1u << 1 | 1u << 3);
        assert_true(fcntl(null, F_GETFD) >= 0); /* borrowed */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                T_RAW(queued_before_greeting),
                T(events_on_either_side),
                T(replies_in_any_order),
                T(errors_have_class),
                T(byte_by_byte),
                T(long_line),
                T(too_long_line),
                cmocka_unit_test(foreign_messages),
                T(too_deep),
                cmocka_unit_test(first_words),
                T_RAW(capabilities_refused),
                cmocka_unit_test(closed_at_every_phase),
                T(last_words_after_epipe),
                T(peer_stops_reading),
                T(slow_peer),
                T(limits),
                T(unref_cancels),
                cmocka_unit_test(unref_within_handlers),
                T(handler_error_ends_loop),
                T(descriptors),
        };

        (void) alarm(60); /* no peer may hang the client */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
