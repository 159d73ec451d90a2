/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The service when its clock jumps, and what hosts can make happen without end. */

#include "attestd-world.h"

static Measured start(World *w) {
        assert_int_equal(launch(w), 200);
        return measured(w, 0x11, 3);
}

static void clock_back(void **state) {
        World *w = *state;
        Measured m;

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        /* a little, as time servers correct it: nothing happens */
        m = start(w);
        w->now -= 300;
        assert_int_equal(validate(w, &m, true), 200);
        open_packet(w, &m);
        /* the instance that had its secrets counts, though it now had them in the future */
        w->now -= 86400;
        m = start(w);
        validate(w, &m, true);
        assert_problem(w, 429, "too-many-instances");
        w->now += 86400;
        assert_int_equal(ask(w, "DELETE", "/vm/a", OWNER, NULL), 204);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        /* far back: a session does not live for as long as it takes to come there again */
        m = start(w);
        w->now -= 86400;
        validate(w, &m, true);
        assert_problem(w, 410, "launch-expired");
        assert_int_equal(validate(w, &m, false), 403);
        m = start(w);
        assert_int_equal(validate(w, &m, true), 200);
}

static void clock_forward(void **state) {
        World *w = *state;
        Measured released, open;

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        released = start(w);
        open = start(w);
        assert_int_equal(validate(w, &released, true), 200);
        w->now += 10 * 365 * 86400;
        validate(w, &open, true);
        assert_problem(w, 410, "launch-expired");
        /* what was released is sent again all the same: it is the same packet for the same guest */
        assert_int_equal(validate(w, &released, true), 200);
        open_packet(w, &released);
}

static uint64_t count(World *w, const char *path) {
        (void) ask(w, "GET", path, OWNER, NULL);
        return js_length(w->reply.body);
}

/* A host that fails again and again for ever: launches that are burned or were left are forgotten, of its failures the last ones are kept,
 * and what the owner did is not pushed out. */
static void endless_failures(void **state) {
        World *w = *state;
        struct stat before, after;

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        for (unsigned i = 0; i < 450; i++) {
                Measured m = start(w);

                m.blob[0] ^= 1;
                for (unsigned k = 0; k < (i % 2 == 0 ? LAUNCH_FAILURES : 2); k++)
                        assert_int_equal(validate(w, &m, true), 403);
                w->now += 30;
                if (i == 300)
                        assert_int_equal(stat(w->db, &before), 0);
        }
        assert_int_equal(count(w, "/vm/a/events"), 301);
        assert_string_equal(js_string_value(js_get(js_at(w->reply.body, 300), "event")), "registered");
        w->now += 2 * LAUNCH_TTL_SECONDS;
        (void) start(w);
        assert_int_equal(ask(w, "GET", "/vm/a", OWNER, NULL), 200);
        assert_int_equal(stat(w->db, &after), 0);
        assert_true(after.st_size <= before.st_size + 16384);
}

static uint64_t uptime(void *userdata) {
        return (uint64_t) ((World *) userdata)->now * 1000000;
}

/* Too often: refused before anything costs, by registration and by who asks. */
static void rates(void **state) {
        World *w = *state;
        RateTable rate = { .per_second = 1, .burst = 3, .usec = uptime, .userdata = w };

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        w->s.rate = &rate;
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(launch(w), 200);
        launch(w);
        assert_problem(w, 429, "too-many-requests");
        assert_int_equal(w->reply.retry_after, 1);
        assert_int_equal(ask(w, "POST", "/vm/a/validate", NULL, "{}"), 400);
        assert_int_equal(ask(w, "POST", "/vm/b/launch", NULL, "{}"), 404);
        assert_int_equal(ask(w, "GET", "/vm/a", OWNER, NULL), 200);
        w->now++;
        assert_int_equal(launch(w), 200);
        assert_int_equal(launch(w), 429);
        w->s.rate = NULL;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(clock_back, setup, teardown),
                cmocka_unit_test_setup_teardown(clock_forward, setup, teardown),
                cmocka_unit_test_setup_teardown(endless_failures, setup, teardown),
                cmocka_unit_test_setup_teardown(rates, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
