/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Waiting for answers, greetings and jobs. */

#include "test.h"

#include <errno.h>

#include "qmp-job.h"
#include "qmp-peer.h"

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
        /* The late answer finds no caller, and is not a protocol error either. */
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

/* A command that is begun, with other things before its end. */
static void wait_in_two_steps(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *why = NULL;
        QmpWait first, second;

        assert_ok(qmp_wait_begin(f->client, "x", NULL, &first, NULL));
        assert_ok(qmp_wait_begin(f->client, "y", NULL, &second, NULL));
        peer_send(f, "{\"return\": {}, \"id\": 2}\r\n{\"id\": 3, \"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\r\n");
        assert_error(qmp_call_wait(f->client, "query-status", NULL, 1000, NULL, &why), ETIMEDOUT);
        assert_true(first.done && second.done);
        assert_ok(qmp_wait_end(f->client, &first, 0, NULL, NULL));
        free(why);
        why = NULL;
        assert_error(qmp_wait_end(f->client, &second, 0, NULL, &why), EREMOTEIO);
        assert_string_equal(why, "QEMU refused 'y': no");

        /* What nobody waits for to its end is freed with the client. */
        assert_ok(qmp_wait_begin(f->client, "z", NULL, &first, NULL));
        f->client = qmp_client_unref(f->client);
        assert_true(first.done);
        assert_int_equal(first.error, -ECANCELED);
        qmp_wait_done(&first);
}

static void wait_for_the_greeting(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *why = NULL, *why2 = NULL;
        QmpVersion version;
        QmpWait wait;

        assert_ok(qmp_wait_begin(f->client, "query-version", NULL, &wait, NULL));
        assert_error(qmp_wait_greeting(f->client, &wait, 1000, &why), ETIMEDOUT);
        assert_string_equal(
                        why, "QEMU did not answer query-version in time, not even with the QMP greeting");
        peer_send(f, GREETING);
        assert_ok(qmp_wait_greeting(f->client, &wait, SECOND, NULL));
        assert_false(wait.done);
        assert_ok(qmp_client_version(f->client, &version));

        f->peer = fd_close(f->peer);
        assert_error(qmp_wait_end(f->client, &wait, SECOND, NULL, &why2), ECONNRESET);
}

static void wait_for_no_greeting(void **state) {
        Fixture *f = *state;
        QmpWait wait;

        assert_ok(qmp_wait_begin(f->client, "query-version", NULL, &wait, NULL));
        f->peer = fd_close(f->peer);
        assert_ok(qmp_wait_greeting(f->client, &wait, SECOND, NULL));
        assert_true(wait.done);
        assert_int_equal(wait.error, -ECONNRESET);
        qmp_wait_done(&wait);
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

int main(void) {
        const struct CMUnitTest tests[] = {
                T(wait_answers),
                T(wait_times_out),
                T_RAW(wait_without_greeting),
                T(wait_in_two_steps),
                T_RAW(wait_for_the_greeting),
                T_RAW(wait_for_no_greeting),
                T(wait_disconnected),
                T(wait_given_up),
                T(wait_ended_by_loop),
                T(wait_in_handler),
                T_RAW(greeting_timeout),
                T_RAW(greeting_in_time),
                cmocka_unit_test(job),
        };

        (void) alarm(60); /* no peer may hang the client */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
