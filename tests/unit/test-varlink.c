/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A varlink service as its clients see it, byte for byte. */

#include "varlink-world.h"

static void answers(void **state) {
        World *w = *state;
        int c = client(w);

        say(c, "{\"method\":\"t.x.Echo\",\"parameters\":{\"a\":1,\"b\":[null]}}");
        expect(w, c, "{\"parameters\":{\"a\":1,\"b\":[null]}}|");
        say(c, "{\"method\":\"t.x.Echo\"}");
        expect(w, c, "{\"parameters\":{}}|");
        say(c, "{\"method\":\"t.x.Echo\",\"parameters\":null,\"more\":true,\"upgrade\":false}");
        expect(w, c, "{\"parameters\":{}}|");
        say(c, "{\"method\":\"t.x.Echo\",\"oneway\":true}");
        expect(w, c, "");
        say(c, "{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{}}");
        expect(w, c,
                        "{\"parameters\":{\"interfaces\":[\"org.varlink.service\",\"t.x\",\"t.empty\"],\"product\":\"a test\","
                        "\"url\":\"https://example.com\",\"vendor\":\"us\",\"version\":\"1\"}}|");
        say(c, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"t.x\"}}");
        expect(w, c, "{\"parameters\":{\"description\":\"interface t.x\\n\"}}|");
        (void) close(c);
        turn(w);
        assert_int_equal(varlink_server_n_clients(w->server), 0);
}

static void errors(void **state) {
        World *w = *state;
        int c = client(w);

#define ERROR_OF(call, error, parameters)                                                                   \
        do {                                                                                                \
                say(c, call);                                                                               \
                expect(w, c, "{\"error\":\"" error "\",\"parameters\":" parameters "}|");                   \
        } while (false)

        ERROR_OF("{\"method\":\"t.x.None\"}", "org.varlink.service.MethodNotFound",
                        "{\"method\":\"t.x.None\"}");
        ERROR_OF("{\"method\":\"t.empty.Echo\"}", "org.varlink.service.MethodNotFound",
                        "{\"method\":\"t.empty.Echo\"}");
        ERROR_OF("{\"method\":\"t.y.Echo\"}", "org.varlink.service.InterfaceNotFound",
                        "{\"interface\":\"t.y\"}");
        ERROR_OF("{\"method\":\"t.x\"}", "org.varlink.service.InterfaceNotFound", "{\"interface\":\"t\"}");
        ERROR_OF("{\"method\":\"Echo\"}", "org.varlink.service.InterfaceNotFound",
                        "{\"interface\":\"Echo\"}");
        ERROR_OF("{\"method\":\"\"}", "org.varlink.service.InterfaceNotFound", "{\"interface\":\"\"}");
        ERROR_OF("{\"method\":\"t.x.Echo\",\"parameters\":{\"c\":1}}",
                        "org.varlink.service.InvalidParameter", "{\"parameter\":\"c\"}");
        ERROR_OF("{\"method\":\"t.x.Echo\",\"upgrade\":true}", "org.varlink.service.MethodNotImplemented",
                        "{\"method\":\"t.x.Echo\"}");
        ERROR_OF("{\"method\":\"t.x.Watch\"}", "org.varlink.service.ExpectedMore", "{}");
        ERROR_OF("{\"method\":\"t.x.Size\"}", "io.systemd.System", "{\"errno\":9,\"origin\":\"linux\"}");
        ERROR_OF("{\"method\":\"org.varlink.service.GetInterfaceDescription\"}",
                        "org.varlink.service.InvalidParameter", "{\"parameter\":\"interface\"}");
        ERROR_OF("{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"t\"}}",
                        "org.varlink.service.InterfaceNotFound", "{\"interface\":\"t\"}");
        (void) close(c);
}

/* Each of them ends the connection: there is nothing to answer to. */
static void not_varlink(void **state) {
        static const char *const wrong[] = {
                "",
                "x",
                "[]",
                "{}",
                "{\"method\":1}",
                "{\"method\":\"t.x.Echo\\u0000\"}",
                "{\"method\":\"t.x.Echo\",\"parameters\":[]}",
                "{\"method\":\"t.x.Echo\",\"more\":1}",
                "{\"method\":\"t.x.Echo\",\"oneway\":true,\"more\":true}",
                "{\"method\":\"t.x.Echo\",\"other\":true}",
                "{\"method\":\"t.x.Echo\"}{}",
        };
        World *w = *state;

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                int c = client(w);

                say(c, wrong[i]);
                expect(w, c, ".");
                assert_int_equal(varlink_server_n_clients(w->server), 0);
                (void) close(c);
        }
}

/* One call at a time, in their order, however they arrive. */
static void one_at_a_time(void **state) {
        static const char both[] =
                        "{\"method\":\"t.x.Later\"}\0{\"method\":\"t.x.Echo\"}\0{\"method\":\"t.x.Later\"}";
        World *w = *state;
        int c = client(w);

        for (size_t i = 0; i < sizeof(both); i++) {
                assert_int_equal(send(c, both + i, 1, 0), 1);
                if (i % 3 == 0)
                        turn(w);
        }
        expect(w, c, "");
        assert_int_equal(w->n_kept, 1);
        varlink_reply(w->kept[0], NULL);
        expect(w, c, "{\"parameters\":{}}|{\"parameters\":{}}|");
        assert_int_equal(w->n_kept, 2);
        varlink_error(w->kept[1], "t.x.Bad", NULL);
        expect(w, c, "{\"error\":\"t.x.Bad\",\"parameters\":{}}|");
        w->n_kept = 0;
        (void) close(c);
}

static void subscribers(void **state) {
        World *w = *state;
        _cleanup_js_ Json *event = NULL;
        int all = client(w), some = client(w), none = client(w);

        say(all, "{\"method\":\"t.x.Watch\",\"more\":true,\"parameters\":{\"filter\":[]}}");
        say(some, "{\"method\":\"t.x.Watch\",\"more\":true,\"parameters\":{\"filter\":[\"A\",\"C\"]}}");
        expect(w, all, "{\"continues\":true,\"parameters\":{\"event\":\"READY\"}}|");
        expect(w, some, "{\"continues\":true,\"parameters\":{\"event\":\"READY\"}}|");
        assert_ok(js_build(&event, "{s:s}", "event", "?"));
        varlink_publish(w->server, "A", event);
        varlink_publish(w->server, "B", event);
        expect(w, none, "");
        expect(w, some, "{\"continues\":true,\"parameters\":{\"event\":\"?\"}}|");
        expect(w, all, "{\"continues\":true,\"parameters\":{\"event\":\"?\"}}|{\"continues\":true,\"parameters\":{\"event\":\"?\"}}|");
        (void) close(some);
        turn(w);
        assert_int_equal(varlink_server_n_clients(w->server), 2);
        /* One that does not read is not waited for: it loses its connection, and the others nothing. */
        for (unsigned i = 0; i < 100000 && varlink_server_n_clients(w->server) > 1; i++) {
                varlink_publish(w->server, "A", event);
                turn(w);
        }
        assert_int_equal(varlink_server_n_clients(w->server), 1);
        (void) close(all);
        (void) close(none);
}

static void caller(void **state) {
        World *w = *state;
        _cleanup_(varlink_connection_done) VarlinkConnection c = { .fd = client(w) };
        _cleanup_(varlink_reply_done) VarlinkReply reply = {};

        assert_error(varlink_connection_receive(&c, varlink_usec() + 1000, &reply), ETIMEDOUT);
        assert_ok(varlink_connection_call(&c, "t.x.Watch", NULL, /* more= */ true, UINT64_MAX));
        turn(w);
        assert_ok(varlink_connection_receive(&c, UINT64_MAX, &reply));
        assert_true(reply.continues);
        assert_null(reply.error);
        assert_string_equal(js_string_value(js_get(reply.parameters, "event")), "READY");
        w->server = varlink_server_unref(w->server);
        varlink_reply_done(&reply);
        assert_error(varlink_connection_receive(&c, UINT64_MAX, &reply), ECONNRESET);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                T(answers),
                T(errors),
                T(not_varlink),
                T(one_at_a_time),
                T(subscribers),
                T(caller),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
