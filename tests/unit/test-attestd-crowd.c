/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a client has begun outlives the requests of others: between its two requests one other address sends thousands of each kind that needs
 * no authentication, without any rate limit. */

#include "attestd-world.h"

#define GOOD    "192.0.2.1"
#define HOSTILE "203.0.113.9"

typedef unsigned (*HostileRequest)(World *w, unsigned i);

static unsigned begin_launch(World *w, _unused_ unsigned i) {
        return launch(w);
}

static unsigned unknown_registration(World *w, unsigned i) {
        char path[64];

        (void) snprintf(path, sizeof(path), "/vm/x%u/launch", i);
        return ask(w, "POST", path, NULL, "{}");
}

static unsigned invented_launch(World *w, unsigned i) {
        Measured m = { .blob = { (uint8_t) i } };

        (void) snprintf(m.id, sizeof(m.id), "%032x", i);
        return validate(w, &m, true);
}

static unsigned wrong_measurement(World *w, unsigned i) {
        Measured m = { .blob = { (uint8_t) i, (uint8_t) (i >> 8) } };

        return validate(w, &m, false);
}

static unsigned malformed(World *w, unsigned i) {
        static const char *const bodies[] = { "", "{", "[]", "{\"launch-id\":1}", "{\"measurement\":\"\"}" };

        return ask(w, "POST", i % 2 ? "/vm/a/launch" : "/vm/a/validate", NULL,
                        bodies[i % ELEMENTSOF(bodies)]);
}

static unsigned no_owner(World *w, unsigned i) {
        static const char *const paths[] = { "/vm/a/events", "/vm/a/launches", "/vm/a", "/vm", "/firmware" };

        return ask(w, "GET", paths[i % ELEMENTSOF(paths)], "Bearer guessed", NULL);
}

static unsigned bad_platform(World *w, _unused_ unsigned i) {
        _cleanup_free_ char *body = NULL;

        assert_true(asprintf(&body, "{\"pdh\":\"%s\",\"cert-chain\":\"%s\"}", w->pdh, w->pdh) > 0);
        return ask(w, "POST", "/vm/a/launch", NULL, body);
}

static void outlives(void **state) {
        static const struct {
                HostileRequest request;
                unsigned n, lowest;
        } kinds[] = {
                { begin_launch, LAUNCH_OPEN_MAX + 200, 200 }, /* more than there is room for */
                { unknown_registration, 10000, 404 },
                { invented_launch, 10000, 404 },
                { wrong_measurement, 500, 403 }, /* each tries 64 launches */
                { malformed, 10000, 400 },
                { no_owner, 10000, 401 },
                { bad_platform, 10000, 400 },
        };
        PlatformCache *cache = calloc(1, sizeof(PlatformCache));
        World *w = *state;
        Measured first, second;
        uint64_t n;

        assert_non_null(cache);
        w->s.platforms = cache;
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        w->peer = GOOD;
        assert_int_equal(launch(w), 200);
        first = measured(w, 0x11, 3);
        assert_int_equal(launch(w), 200);
        second = measured(w, 0x11, 3);
        w->peer = HOSTILE;
        FOREACH_ARRAY(k, kinds, ELEMENTSOF(kinds))
                for (unsigned i = 0; i < k->n; i++) {
                        unsigned status = k->request(w, i);

                        if (status < k->lowest || status >= 500)
                                fail_msg("kind %zu: %u", (size_t) (k - kinds), status);
                }
        /* also without its launch-id, among all those of the other address */
        w->peer = GOOD;
        assert_int_equal(validate(w, &first, false), 200);
        open_packet(w, &first);
        assert_int_equal(validate(w, &second, true),
                        429); /* one instance, as registered: nothing else moved */
        assert_int_equal(ask(w, "GET", "/vm/a", OWNER, NULL), 200);
        assert_ok(js_u64_value(js_get(w->reply.body, "launches-open"), &n));
        assert_in_range(n, 2, LAUNCH_OPEN_MAX);
        w->s.platforms = NULL;
        free(cache);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(outlives, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
