/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The service when its clock jumps, and what hosts can make happen without end. */

#include "attestd-world.h"

#include "strutil.h"

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
        _cleanup_free_ PlatformCache *cache = calloc(1, sizeof(PlatformCache));
        World *w = *state;
        struct stat before, after;

        w->s.platforms = cache;
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        for (unsigned i = 0; i < 160; i++) {
                Measured m = start(w);

                m.blob[0] ^= 1;
                for (unsigned k = 0; k < (i % 2 == 0 ? LAUNCH_FAILURES : 2); k++)
                        assert_int_equal(validate(w, &m, true), 403);
                w->now += 30;
                if (i == 110 && !postgresql_url())
                        assert_int_equal(stat(w->db, &before), 0);
        }
        assert_int_equal(count(w, "/vm/a/events"), 301);
        assert_string_equal(js_string_value(js_get(js_at(w->reply.body, 300), "event")), "registered");
        w->now += 2 * LAUNCH_TTL_SECONDS;
        (void) start(w);
        assert_int_equal(ask(w, "GET", "/vm/a", OWNER, NULL), 200);
        /* PostgreSQL's files shrink by its own vacuum. */
        if (postgresql_url())
                return;
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

static unsigned ask_as(
                World *w, const char *method, const char *path, const uint8_t *certificate, bool is_host) {
        Request q = { .method = method,
                .path = path,
                .body = "{}",
                .body_size = streq(method, "POST") ? 2 : 0,
                .certificate = certificate,
                .is_host = is_host };

        reply_done(&w->reply);
        service_handle(&w->s, &q, &w->reply);
        return w->reply.status;
}

/* Certificates: of owners in place of a token, of hosts where they are asked for. */
static void certificates(void **state) {
        uint8_t one[STORE_TOKEN_HASH_SIZE] = { 1 }, two[STORE_TOKEN_HASH_SIZE] = { 2 };
        World *w = *state;

        assert_ok(w->s.store->ops->owner_add(w->s.store, "by certificate", one));
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        assert_int_equal(ask_as(w, "GET", "/vm", one, false), 200);
        assert_int_equal(js_length(w->reply.body), 0); /* the other's is not shown */
        assert_int_equal(ask_as(w, "GET", "/vm", two, true), 401);
        assert_int_equal(ask_as(w, "GET", "/vm", NULL, false), 401);

        assert_int_equal(ask_as(w, "POST", "/vm/a/launch", NULL, false), 400);
        w->s.hosts_certified = true;
        assert_int_equal(ask(w, "POST", "/vm/a/launch", NULL, "{}"), 403);
        assert_problem(w, 403, "host-certificate-needed");
        assert_int_equal(ask(w, "POST", "/vm/none/validate", NULL, "{}"), 403);
        assert_int_equal(ask_as(w, "POST", "/vm/a/launch", one, false), 403);
        assert_int_equal(ask_as(w, "POST", "/vm/a/launch", two, true), 400);
        assert_int_equal(ask(w, "GET", "/health", NULL, NULL), 200);
        assert_int_equal(ask(w, "GET", "/vm/a", OWNER, NULL), 200);
}

static size_t remembered(const PlatformCache *c) {
        size_t n = 0;

        for (size_t i = 0; i < PLATFORM_CACHE_ENTRIES; i++)
                n += c->entries[i].used > 0;
        return n;
}

/* A chain that was authentic once need not be verified again; but whatever that verdict came from is looked at. */
static void platforms_remembered(void **state) {
        _cleanup_free_ PlatformCache *cache = calloc(1, sizeof(PlatformCache));
        TrustAnchor nobody = { .generation = "nobody" };
        World *w = *state;
        char c;

        w->s.platforms = cache;
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        assert_int_equal(launch(w), 200);
        assert_int_equal(remembered(cache), 1);
        assert_int_equal(cache->uses, 1);
        assert_int_equal(launch(w), 200);
        assert_int_equal(remembered(cache), 1);
        assert_int_equal(cache->uses, 2); /* found */

        /* another byte, in what no signature covers either */
        c = w->signed_cek_chain[400];
        w->signed_cek_chain[400] = c == 'A' ? 'B' : 'A';
        assert_int_not_equal(launch(w), 200);
        w->signed_cek_chain[400] = c;
        assert_int_equal(cache->uses, 2);

        /* anchors, AMD's certificates */
        w->anchors.items = &nobody;
        launch(w);
        assert_problem(w, 403, "platform-not-authentic");
        w->anchors.items = &w->anchor;
        w->s.n_collateral = 0;
        launch(w);
        assert_problem(w, 424, "collateral-missing");
        w->s.n_collateral = 1;
        w->collateral.ark.raw[900] ^= 1;
        (void) launch(w);
        assert_int_equal(cache->uses, w->reply.status == 200 ? 3 : 2); /* verified, not found */
        w->collateral.ark.raw[900] ^= 1;

        /* what the owner pins, of a platform that is remembered */
        {
                _cleanup_free_ char *pinned = NULL;

                assert_true(asprintf(&pinned,
                                            "{\"scheme\":\"amd-sev\",\"policy\":3,\"cloud-cert\":\"%064d\","
                                            "\"launch-digests\":[\"" DIGEST
                                            "\"],\"secrets\":[{\"guid\":\"" LUKS
                                            "\",\"data\":\"c2VzYW1l\"}]}",
                                            0) > 0);
                assert_int_equal(ask(w, "PUT", "/vm/a", OWNER, pinned), 200);
                launch(w);
                assert_problem(w, 403, "platform-owner-not-accepted");
        }
        w->s.platforms = NULL;
}

static void platforms_forgotten(_unused_ void **state) {
        _cleanup_free_ PlatformCache *c = calloc(1, sizeof(PlatformCache));
        uint8_t key[PLATFORM_KEY_SIZE] = {};

        for (unsigned i = 0; i < PLATFORM_CACHE_ENTRIES + 10; i++) {
                memcpy(key, &i, sizeof(i));
                assert_false(platform_cache_has(c, key));
                platform_cache_add(c, key);
                if (i >= 5) { /* asked for again and again: stays */
                        memset(key, 0, sizeof(key));
                        key[0] = 5;
                        assert_true(platform_cache_has(c, key));
                }
        }
        assert_int_equal(remembered(c), PLATFORM_CACHE_ENTRIES);
        memset(key, 0, sizeof(key));
        assert_false(platform_cache_has(c, key)); /* the oldest went */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(clock_back, setup, teardown),
                cmocka_unit_test_setup_teardown(clock_forward, setup, teardown),
                cmocka_unit_test_setup_teardown(endless_failures, setup, teardown),
                cmocka_unit_test_setup_teardown(rates, setup, teardown),
                cmocka_unit_test_setup_teardown(certificates, setup, teardown),
                cmocka_unit_test_setup_teardown(platforms_remembered, setup, teardown),
                cmocka_unit_test(platforms_forgotten),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
