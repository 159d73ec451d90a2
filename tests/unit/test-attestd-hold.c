/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What owners decide while hosts ask: launches beyond the limit that wait for them, replaced registrations; and a database of an
 * older version. */

#include "attestd-world.h"

#include "attestd-sqlite.h"

/* The good registration with more members. */
static unsigned register_with(World *w, const char *method, const char *more) {
        _cleanup_free_ char *body = NULL;

        assert_true(asprintf(&body, "{%s,%s", more, good + 1) > 0);
        return ask(w, method, "/vm/a", OWNER, body);
}

static unsigned decide(
                World *w, const char *method, const Measured *m, const char *tail, const char *owner) {
        char path[96];

        (void) snprintf(path, sizeof(path), "/vm/a/launches/%s%s", m->id, tail);
        return ask(w, method, path, owner, NULL);
}

static Measured start(World *w) {
        assert_int_equal(launch(w), 200);
        return measured(w, 0x11, 3);
}

/* The latest event's word. */
static void assert_last_event(World *w, const char *event) {
        assert_int_equal(ask(w, "GET", "/vm/a/events", OWNER, NULL), 200);
        assert_string_equal(js_string_value(js_get(js_at(w->reply.body, 0), "event")), event);
}

static void confirmed(void **state) {
        World *w = *state;
        Measured first, second, third;

        assert_int_equal(register_with(w, "POST", "\"over-limit\":\"hold\""), 201);
        first = start(w);
        assert_int_equal(validate(w, &first, true), 200);
        second = start(w);
        assert_int_equal(validate(w, &second, true), 202);
        assert_true(w->reply.retry_after > 0);
        assert_string_equal(text(w, "state"), "held");
        assert_null(js_get(w->reply.body, "secret-payload"));
        assert_last_event(w, "held");
        assert_int_equal(validate(w, &second, false), 202); /* asks again: no news */
        assert_int_equal(ask(w, "GET", "/vm/a/events", OWNER, NULL), 200);
        assert_int_equal(js_length(w->reply.body), 3);

        /* only the owner decides */
        assert_int_equal(decide(w, "POST", &second, "/confirm", NULL), 401);
        assert_int_equal(decide(w, "POST", &second, "/confirm", OTHER), 404);
        assert_int_equal(decide(w, "DELETE", &second, "", OTHER), 404);
        assert_int_equal(ask(w, "GET", "/vm/a/launches", OTHER, NULL), 404);
        assert_int_equal(validate(w, &second, true), 202);

        assert_int_equal(decide(w, "POST", &first, "/confirm", OWNER), 409);
        third = second;
        third.id[0] = third.id[0] == '0' ? '1' : '0';
        assert_int_equal(decide(w, "POST", &third, "/confirm", OWNER), 404);
        third.id[0] = 'x';
        assert_int_equal(decide(w, "POST", &third, "/confirm", OWNER), 404);
        assert_int_equal(decide(w, "POST", &second, "/confirm", OWNER), 200);
        assert_int_equal(decide(w, "POST", &second, "/confirm", OWNER), 200);
        assert_last_event(w, "confirmed");

        /* confirmed is that launch and no other */
        third = start(w);
        assert_int_equal(validate(w, &third, true), 202);
        assert_int_equal(validate(w, &second, true), 200);
        open_packet(w, &second);
        assert_int_equal(validate(w, &second, true), 200);
        assert_int_equal(validate(w, &third, false), 202);
        assert_last_event(w, "released");

        assert_int_equal(ask(w, "GET", "/vm/a/launches", OWNER, NULL), 200);
        assert_int_equal(js_length(w->reply.body), 3);
        assert_string_equal(js_string_value(js_get(js_at(w->reply.body, 0), "state")), "held");
        assert_string_equal(js_string_value(js_get(js_at(w->reply.body, 0), "launch-id")), third.id);
        assert_int_equal(ask(w, "GET", "/vm/a", OWNER, NULL), 200);
        {
                uint64_t n;

                assert_ok(js_u64_value(js_get(w->reply.body, "launches-held"), &n));
                assert_int_equal(n, 1);
        }
}

static void rejected(void **state) {
        World *w = *state;
        Measured m, other;

        assert_int_equal(register_with(w, "POST", "\"over-limit\":\"hold\""), 201);
        m = start(w);
        assert_int_equal(validate(w, &m, true), 200);
        assert_int_equal(decide(w, "DELETE", &m, "", OWNER), 409); /* has its secrets */
        m = start(w);
        assert_int_equal(validate(w, &m, true), 202);
        assert_int_equal(decide(w, "DELETE", &m, "", OWNER), 204);
        assert_last_event(w, "rejected");
        validate(w, &m, true);
        assert_problem(w, 410, "launch-burned");
        assert_int_equal(decide(w, "POST", &m, "/confirm", OWNER), 409);
        m = start(w); /* before its measurement has come */
        assert_int_equal(decide(w, "DELETE", &m, "", OWNER), 204);
        validate(w, &m, true);
        assert_problem(w, 410, "launch-burned");

        /* what is not the registered launch is never held, and wrong ones end a held one */
        m = start(w);
        other = m;
        other.blob[0] ^= 1;
        assert_int_equal(validate(w, &other, true), 403);
        assert_int_equal(validate(w, &m, true), 202);
        assert_int_equal(validate(w, &other, true), 403);
        assert_int_equal(validate(w, &other, true), 403);
        assert_int_equal(decide(w, "POST", &m, "/confirm", OWNER), 409);
}

static void waited_too_long(void **state) {
        World *w = *state;
        Measured m;

        assert_int_equal(register_with(w, "POST",
                                         "\"over-limit\":\"hold\",\"hold-seconds\":2000,\"instance-window\":"
                                         "9000"),
                        201);
        m = start(w);
        assert_int_equal(validate(w, &m, true), 200);
        m = start(w);
        assert_int_equal(validate(w, &m, true), 202);
        w->now += 1999; /* longer than an open launch may take */
        assert_int_equal(validate(w, &m, true), 202);
        assert_int_equal(decide(w, "POST", &m, "/confirm", OWNER), 200);
        w->now += 1999;
        assert_int_equal(validate(w, &m, true), 200);

        m = start(w);
        assert_int_equal(validate(w, &m, true), 202);
        w->now += 2001;
        validate(w, &m, true);
        assert_problem(w, 410, "launch-expired");
        decide(w, "POST", &m, "/confirm", OWNER);
        assert_problem(w, 410, "launch-expired");
        decide(w, "DELETE", &m, "", OWNER);
        assert_problem(w, 410, "launch-expired");
        assert_int_equal(ask(w, "GET", "/vm/a/launches", OWNER, NULL), 200);
        assert_string_equal(js_string_value(js_get(js_at(w->reply.body, 0), "state")), "expired");
        (void) start(w); /* cleans up */
        assert_last_event(w, "expired");
        validate(w, &m, true);
        assert_problem(w, 404, "unknown-launch");

        /* a place became free while it waited: no confirmation is needed */
        w->now += 9001;
        m = start(w);
        assert_int_equal(validate(w, &m, true), 200);
        w->now += 8000;
        m = start(w);
        assert_int_equal(validate(w, &m, true), 202);
        w->now += 1001;
        assert_int_equal(validate(w, &m, true), 200);
        m = start(w);
        assert_int_equal(validate(w, &m, true), 202);
        assert_int_equal(register_with(w, "PUT", "\"over-limit\":\"hold\",\"max-instances\":9"), 200);
        validate(w, &m, true);
        assert_problem(w, 404, "unknown-launch"); /* it began before */
}

static void only_so_many_wait(void **state) {
        World *w = *state;
        Measured m;

        assert_int_equal(register_with(w, "POST", "\"over-limit\":\"hold\""), 201);
        m = start(w);
        assert_int_equal(validate(w, &m, true), 200);
        for (unsigned i = 0; i < LAUNCH_HELD_MAX; i++) {
                m = start(w);
                assert_int_equal(validate(w, &m, true), 202);
        }
        m = start(w);
        validate(w, &m, true);
        assert_problem(w, 429, "too-many-instances");
}

static uint64_t frozen(void *userdata) {
        (void) userdata;
        return 1;
}

/* Hosts may not ask too often; owners are not hosts. */
static void too_fast(void **state) {
        RateTable rate = { .per_second = 1, .burst = 1, .usec = frozen };
        World *w = *state;

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        w->s.rate = &rate;
        assert_int_equal(launch(w), 200);
        launch(w);
        assert_problem(w, 429, "too-many-requests");
        for (unsigned i = 0; i < 5; i++)
                assert_int_equal(ask(w, "GET", "/vm/a/launches", OWNER, NULL), 200);
}

static void updated(void **state) {
        World *w = *state;
        Measured m;
        uint64_t n;

        assert_int_equal(register_with(w, "PUT", "\"min-build\":0"), 404);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        m = start(w);
        assert_int_equal(ask(w, "PUT", "/vm/a", OTHER, good), 404);
        assert_int_equal(ask(w, "PUT", "/vm/a", OWNER, "{}"), 422);
        assert_int_equal(ask(w, "PUT", "/vm/a", OWNER, "{"), 400);
        assert_int_equal(validate(w, &m, true), 200);
        m = start(w);
        (void) start(w);
        assert_int_equal(register_with(w, "PUT", "\"max-instances\":5,\"min-build\":22"), 200);
        assert_ok(js_u64_value(js_get(w->reply.body, "launches-ended"), &n));
        assert_int_equal(n, 2);
        assert_last_event(w, "updated");
        validate(w, &m, true);
        assert_problem(w, 404, "unknown-launch");
        m = start(w);
        validate(w, &m, true); /* build 21 */
        assert_problem(w, 403, "platform-too-old");
        assert_int_equal(ask(w, "GET", "/vm/a", OWNER, NULL), 200);
        assert_ok(js_u64_value(js_get(w->reply.body, "launches-released"), &n));
        assert_int_equal(n, 1); /* what was released counts on */

        /* without secrets the registered ones stay, what `show` prints can be sent back */
        {
                _cleanup_free_ char *body = NULL;

                assert_true(asprintf(&body, "%.*s}", (int) (strstr(good, ",\"secrets\"") - good), good) > 0);
                assert_int_equal(ask(w, "POST", "/vm/b", OWNER, body), 422);
                assert_int_equal(ask(w, "PUT", "/vm/a", OWNER, body), 200);
        }
        w->now += 3601;
        m = start(w);
        assert_int_equal(validate(w, &m, true), 200);
        open_packet(w, &m);
        assert_int_equal(ask(w, "PUT", "/vm/a", OWNER,
                                         "{\"scheme\":\"amd-sev\",\"policy\":3,\"cloud-cert\":\"any\","
                                         "\"secret-area-size\":32,"
                                         "\"launch-digests\":[\"" DIGEST "\"]}"),
                        422);
        assert_non_null(strstr(text(w, "detail"), "secret-area-size"));
}

/* A database as the first version made it goes on; one of a later version is left alone. */
static void older_database(void **state) {
        World *w = *state;
        _cleanup_free_ char *error = NULL;
        Measured m;

        if (postgresql_url())
                skip(); /* its tables are those of SQLite's latest step */
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        m = start(w);
        assert_int_equal(validate(w, &m, true), 200);
        assert_ok(sqlite_error(sqlite3_exec(((SqliteStore *) w->s.store)->db,
                        "ALTER TABLE launch DROP COLUMN held; DROP TABLE firmware; DROP INDEX launch_by_age; DROP INDEX event_refused; DROP TABLE audit;"
                        "ALTER TABLE launch DROP COLUMN peer; ALTER TABLE vm DROP COLUMN released;"
                        "PRAGMA user_version = 1",
                        NULL, NULL, NULL)));
        store_free(w->s.store);
        w->s.store = NULL;
        assert_ok(store_sqlite_open(w->db, &w->s.store, NULL));
        assert_int_equal(validate(w, &m, true), 200);
        assert_int_equal(register_with(w, "PUT", "\"over-limit\":\"hold\""), 200);
        m = start(w);
        assert_int_equal(validate(w, &m, true), 202);

        /* version 4 burned released launches: they count for the limit all the same */
        assert_ok(sqlite_error(sqlite3_exec(((SqliteStore *) w->s.store)->db,
                        "UPDATE launch SET state = 2, header = NULL, payload = NULL WHERE state = 1;"
                        "DROP INDEX launch_by_age; DROP INDEX event_refused; DROP TABLE audit; ALTER TABLE launch DROP COLUMN peer;"
                        "ALTER TABLE vm DROP COLUMN released; PRAGMA user_version = 4",
                        NULL, NULL, NULL)));
        store_free(w->s.store);
        w->s.store = NULL;
        assert_ok(store_sqlite_open(w->db, &w->s.store, NULL));
        w->now += LAUNCH_TTL_SECONDS + 1;
        m = start(w);
        assert_int_equal(validate(w, &m, true), 202);

        assert_ok(sqlite_error(sqlite3_exec(
                        ((SqliteStore *) w->s.store)->db, "PRAGMA user_version = 1000", NULL, NULL, NULL)));
        store_free(w->s.store);
        w->s.store = NULL;
        assert_error(store_sqlite_open(w->db, &w->s.store, &error), EOPNOTSUPP);
        assert_non_null(strstr(error, "newer version"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(confirmed, setup, teardown),
                cmocka_unit_test_setup_teardown(rejected, setup, teardown),
                cmocka_unit_test_setup_teardown(waited_too_long, setup, teardown),
                cmocka_unit_test_setup_teardown(only_so_many_wait, setup, teardown),
                cmocka_unit_test_setup_teardown(too_fast, setup, teardown),
                cmocka_unit_test_setup_teardown(updated, setup, teardown),
                cmocka_unit_test_setup_teardown(older_database, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
