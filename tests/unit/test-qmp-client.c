/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The client against a scripted peer at the other end of a socketpair. What the client's handlers saw is collected as
 * words in one string, so that a test shows the order of things as a person would write it. */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd.h"
#include "qmp-client.h"
#include "qmp-job.h"
#include "strutil.h"

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

static int on_event(_unused_ QmpClient *c, const char *name, const Json *data, void *userdata) {
        Fixture *f = userdata;

        text_putf(&f->seen, "%s%s ", name, data ? "+" : "");
        if (f->unref_in_handler)
                f->client = qmp_client_unref(f->client);
        return f->handler_result;
}

static int on_disconnect(QmpClient *c, int error, void *userdata) {
        Fixture *f = userdata;

        text_putf(&f->seen, "disconnect:%s ", error == 0 ? "0" : strerrorname_np(-error));
        assert_non_null(qmp_client_failure(c));
        assert_error(qmp_call(c, "late", NULL, NULL, NULL), ENOTCONN);
        if (f->unref_in_handler)
                f->client = qmp_client_unref(f->client);
        return 0;
}

static int on_reply(QmpClient *c, int error, const Json *value, const char *desc, void *userdata) {
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

static void peer_send(Fixture *f, const char *text) {
        assert_ok(fd_write_all(f->peer, text, strlen(text)));
}

static void spin(Fixture *f) {
        while (loop_once(f->loop, 0) > 0)
                ;
}

/* What the client has written so far. */
static void peer_expect(Fixture *f, const char *text) {
        char buf[4096];
        ssize_t n = recv(f->peer, buf, sizeof(buf) - 1, MSG_DONTWAIT);

        buf[MAX(n, (ssize_t) 0)] = 0;
        assert_string_equal(buf, text);
}

static void seen(Fixture *f, const char *words) {
        spin(f);
        assert_string_equal(f->seen.data ?: "", words);
        text_done(&f->seen);
        f->seen = (Text) {};
}

static void failure_contains(Fixture *f, const char *words) {
        assert_non_null(qmp_client_failure(f->client));
        if (!strstr(qmp_client_failure(f->client), words))
                fail_msg("'%s' does not contain '%s'", qmp_client_failure(f->client), words);
}

static int setup_raw(void **state) {
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
static int setup(void **state) {
        Fixture *f;

        (void) setup_raw(state);
        f = *state;
        peer_send(f, GREETING CAPABLE);
        spin(f);
        peer_expect(f, "{\"execute\":\"qmp_capabilities\",\"id\":1}\r\n");
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        f->client = qmp_client_unref(f->client);
        (void) fd_close(f->peer);
        loop_unref(f->loop);
        text_done(&f->seen);
        free(f);
        return 0;
}

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
        /* The list's tail was taken out: a new call must be found behind the rest. */
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
                assert_true(sent <= QMP_LINE_MAX + 1024 * 1024);
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
                { "{\"return\": {}, \"id\": 3}\r\n", "not asked, id 3" },
                { "{\"return\": {}, \"id\": 1}\r\n", "not asked, id 1" },
                { "{\"return\": {}, \"id\": \"2\"}\r\n", "id that we never use" },
                { "{\"return\": {}, \"id\": -2}\r\n", "id that we never use" },
                { "{\"return\": {}, \"id\": 2.0}\r\n", "id that we never use" },
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

static void wait_answers(void **state) {
        Fixture *f = *state;
        _cleanup_js_ Json *value = NULL;
        _cleanup_free_ char *why = NULL;
        uint64_t v;

        peer_send(f, "{\"event\": \"RESUME\"}\r\n{\"return\": 77, \"id\": 2}\r\n{\"event\": \"STOP\"}\r\n");
        assert_ok(qmp_call_wait(f->client, "x", NULL, SECOND, &value, &why));
        assert_ok(js_u64_value(value, &v));
        assert_int_equal(v, 77);
        seen(f, "RESUME STOP ");

        peer_send(f,
                        "{\"id\": 3, \"error\": {\"class\": \"GenericError\", \"desc\": \"KVM not "
                        "enabled\"}}\r\n");
        assert_error(qmp_call_wait(f->client, "query-sev-capabilities", NULL, SECOND, NULL, &why),
                        EREMOTEIO);
        assert_string_equal(why, "QEMU refused 'query-sev-capabilities': KVM not enabled");
        assert_string_equal(qmp_client_error_class(f->client), "GenericError");
}

static void wait_times_out(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *why = NULL, *why2 = NULL;

        assert_error(qmp_call_wait(f->client, "x", NULL, 1000, NULL, &why), ETIMEDOUT);
        assert_string_equal(why, "QEMU did not answer x in time");
        /* The late answer finds nobody, and is no protocol error either. */
        peer_send(f, "{\"return\": {}, \"id\": 2}\r\n{\"return\": {}, \"id\": 3}\r\n");
        assert_ok(qmp_call_wait(f->client, "y", NULL, SECOND, NULL, &why2));
        seen(f, "");
}

static void wait_without_greeting(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *why = NULL;

        assert_error(qmp_call_wait(f->client, "x", NULL, 1000, NULL, &why), ETIMEDOUT);
        assert_string_equal(why, "QEMU did not answer x in time, not even with the QMP greeting");
}

static void wait_disconnected(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *why = NULL, *why2 = NULL;

        f->peer = fd_close(f->peer);
        assert_error(qmp_call_wait(f->client, "x", NULL, SECOND, NULL, &why), ECONNRESET);
        assert_string_equal(why, "'x' was not answered: QEMU closed the QMP connection");
        assert_error(qmp_call_wait(f->client, "x", NULL, SECOND, NULL, &why2), ENOTCONN);
        assert_string_equal(why2, "cannot send 'x': QEMU closed the QMP connection");
        seen(f, "disconnect:0 ");
}

static void wait_given_up(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *why = NULL;

        f->unref_in_handler = true;
        peer_send(f, "{\"event\": \"STOP\"}\r\n");
        assert_error(qmp_call_wait(f->client, "x", NULL, SECOND, NULL, &why), ECANCELED);
        assert_null(f->client);
}

static void wait_ended_by_loop(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *why = NULL;

        f->handler_result = -EXDEV;
        peer_send(f, "{\"event\": \"STOP\"}\r\n");
        assert_error(qmp_call_wait(f->client, "x", NULL, SECOND, NULL, &why), ECANCELED);
        /* The loop still knows why it was to end. */
        assert_error(loop_run(f->loop), EXDEV);
}

static int waits_in_handler(QmpClient *c, _unused_ int error, _unused_ const Json *value,
                _unused_ const char *desc, void *userdata) {
        Fixture *f = userdata;
        _cleanup_free_ char *why = NULL;

        assert_error(qmp_call_wait(c, "x", NULL, SECOND, NULL, &why), EBUSY);
        assert_non_null(strstr(why, "within a QMP handler"));
        text_put(&f->seen, "busy ");
        return 0;
}

static void wait_in_handler(void **state) {
        Fixture *f = *state;

        assert_ok(qmp_call(f->client, "x", NULL, waits_in_handler, f));
        peer_send(f, "{\"return\": {}, \"id\": 2}\r\n");
        seen(f, "busy ");
}

static void greeting_timeout(void **state) {
        Fixture *f = *state;

        assert_ok(qmp_client_set_greeting_timeout(f->client, 1000));
        while (!qmp_client_failure(f->client))
                assert_true(loop_once(f->loop, 10 * SECOND) > 0);
        seen(f, "disconnect:ETIMEDOUT ");
        failure_contains(f, "no QMP greeting");
}

static void greeting_in_time(void **state) {
        Fixture *f = *state;

        assert_ok(qmp_client_set_greeting_timeout(f->client, 1000));
        peer_send(f, GREETING CAPABLE);
        spin(f);
        assert_int_equal(loop_once(f->loop, 20000), 0);
        seen(f, "");
        assert_ok(qmp_client_set_greeting_timeout(f->client, 1000));
        assert_int_equal(loop_once(f->loop, 20000), 0);
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

/* A peer that answers each command with the next piece of its script; an empty piece closes the connection. */
typedef struct Script {
        Fixture *f;
        const char *const *next;
        LoopSource *source;
} Script;

static int on_command(_unused_ LoopSource *source, int fd, _unused_ uint32_t events, void *userdata) {
        Script *s = userdata;
        char buf[4096];
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

        for (ssize_t i = 0; i < n; i++) {
                if (buf[i] != '\n')
                        continue;
                assert_non_null(*s->next);
                if (!**s->next) {
                        s->source = loop_source_unref(s->source);
                        s->f->peer = fd_close(s->f->peer);
                        return 0;
                }
                peer_send(s->f, *s->next++);
        }
        return 0;
}

#define JOB_EVENT(status, id)                                                                               \
        "{\"event\": \"JOB_STATUS_CHANGE\", \"data\": {\"status\": \"" status "\", \"id\": \"" id "\"}}"    \
        "\r\n"
#define RETURN(id, value) "{\"return\": " value ", \"id\": " id "}\r\n"

static void job(void **state) {
        static const struct {
                const char *pieces[4];
                int expected;
                const char *sentence;
        } cases[] = {
                { { JOB_EVENT("created", "j") RETURN("2", "{}") JOB_EVENT("concluded", "k")
                                                  JOB_EVENT("concluded", "j"),
                                  RETURN("3", "[{\"id\": \"k\", \"error\": \"no\"}, {\"id\": \"j\"}]"),
                                  RETURN("4", "{}") },
                                0, NULL },
                { { JOB_EVENT("concluded", "j") RETURN("2", "{}"), RETURN("3", "[{\"id\": \"j\"}]"),
                                  RETURN("4", "{}") },
                                0, NULL },
                { { RETURN("2", "{}") JOB_EVENT("concluded", "j"),
                                  RETURN("3", "[{\"id\": \"j\", \"error\": \"disk full\"}]"),
                                  RETURN("4", "{}") },
                                -EIO, "job 'j' failed: disk full" },
                { { RETURN("2", "{}") JOB_EVENT("concluded", "j"), RETURN("3", "[]"), RETURN("4", "{}") },
                                -EBADMSG, "gone before its result was read" },
                { { "{\"id\": 2, \"error\": {\"class\": \"GenericError\", \"desc\": \"no node\"}}\r\n" },
                                -EREMOTEIO, "no node" },
                { { "" }, -ECONNRESET, "was not answered" },
                { { RETURN("2", "{}") "oops\r\n" }, -ECONNRESET, "ended while job 'j' ran" },
                { { RETURN("2", "{}") }, -ETIMEDOUT, "in time" },
                { { RETURN("2", "{}") JOB_EVENT("concluded", "j"), "" }, -ECONNRESET, "query-jobs" },
        };

        (void) state;
        FOREACH_ARRAY(t, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *why = NULL;
                Script s = { .next = t->pieces };
                void *p;

                (void) setup(&p);
                s.f = p;
                assert_ok(loop_add_io(s.f->loop, s.f->peer, EPOLLIN, on_command, &s, &s.source));
                assert_int_equal(qmp_blockdev_create_wait(s.f->client, "j", js_object(),
                                                 t->expected == -ETIMEDOUT ? 1000 : SECOND, &why),
                                t->expected);
                if (t->sentence && !(why && strstr(why, t->sentence)))
                        fail_msg("'%s' does not contain '%s'", why, t->sentence);
                s.source = loop_source_unref(s.source);
                (void) teardown(&p);
        }
}

#define T(f)     cmocka_unit_test_setup_teardown(f, setup, teardown)
#define T_RAW(f) cmocka_unit_test_setup_teardown(f, setup_raw, teardown)

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
                T(wait_answers),
                T(wait_times_out),
                T_RAW(wait_without_greeting),
                T(wait_disconnected),
                T(wait_given_up),
                T(wait_ended_by_loop),
                T(wait_in_handler),
                T_RAW(greeting_timeout),
                T_RAW(greeting_in_time),
                T(descriptors),
                cmocka_unit_test(job),
        };

        (void) alarm(60); /* no peer may hang the client */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
