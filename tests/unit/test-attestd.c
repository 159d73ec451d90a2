/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The attestation service without a network: routes, store and handlers. */

#include "attestd-world.h"

#include "atomic-file.h"

static void paths(void **state) {
        static const struct {
                const char *method, *path;
                unsigned status;
        } cases[] = {
                { "GET", "/", 200 },
                { "GET", "/health", 200 },
                { "POST", "/", 405 },
                { "GET", "", 404 },
                { "GET", "/vm", 401 },
                { "GET", "/vm/", 404 },
                { "GET", "/vm/a", 401 },
                { "PUT", "/vm/a", 401 },
                { "PATCH", "/vm/a", 405 },
                { "POST", "/vm/a/launches", 405 },
                { "GET", "/vm/a/launches/b", 405 },
                { "DELETE", "/vm/a/launches/b", 401 },
                { "POST", "/vm/a/launches/b/confirm", 401 },
                { "POST", "/vm/a/launches//confirm", 404 },
                { "POST", "/vm/a/launches/../confirm", 404 },
                { "POST", "/vm/a/launches/b/confirm/c", 404 },
                { "POST", "/vm/../launch", 404 },
                { "POST", "/vm/a/../b/launch", 404 },
                { "POST", "/vm//launch", 404 },
                { "POST", "/vm/%2e%2e/launch", 404 },
                { "POST", "/vm/a/launch/", 404 },
                { "POST", "//vm/a/launch", 404 },
                { "POST", "/vm/a/launch", 404 },
                { "GET", "/vm/a/launch", 405 },
                { "GET", "/vm/a\nb", 404 },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases))
                if (ask(*state, c->method, c->path, NULL, NULL) != c->status)
                        fail_msg("%s %s gave %u", c->method, c->path, ((World *) *state)->reply.status);
        assert_int_equal(body_max("POST", "/vm/a/launch"), BODY_SIZE_MAX);
        assert_int_equal(body_max("GET", "/vm/a"), 0);
        assert_int_equal(body_max("POST", "/elsewhere"), 0);
}

/* Each route of owners wants a token, and each body has its limit. */
static void every_route(void **state) {
        _cleanup_free_ char *large = malloc(FIRMWARE_BODY_MAX + 1);
        World *w = *state;
        const ServiceRoute *routes;
        size_t n;

        assert_non_null(large);
        memset(large, ' ', FIRMWARE_BODY_MAX + 1);
        routes = service_routes(&n);
        FOREACH_ARRAY(route, routes, n) {
                Request q = { .method = route->method,
                        .authorization = OWNER,
                        .body = large,
                        .body_size = route->max_body + 1 };
                char path[64] = "";
                size_t k = 0;

                for (const char *p = route->path; *p; p++)
                        path[k++] = *p == '*' ? 'a' : *p;
                q.path = path;
                assert_int_equal(answer(w, &q), 413);
                assert_int_equal(body_max(route->method, path), route->max_body);
                if (route->for_owner)
                        assert_int_equal(ask(w, route->method, path, NULL, NULL), 401);
        }
}

static void owners(void **state) {
        World *w = *state;

        assert_int_equal(ask(w, "POST", "/vm/a", "Bearer wrong", good), 401);
        assert_int_equal(ask(w, "POST", "/vm/a", "Basic the-owners-token", good), 401);
        assert_int_equal(ask(w, "POST", "/vm/a", "Bearer ", good), 401);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 409);
        assert_int_equal(ask(w, "POST", "/vm/a", OTHER, good), 409);
        assert_int_equal(ask(w, "GET", "/vm/a", OTHER, NULL), 404);
        assert_int_equal(ask(w, "DELETE", "/vm/a", OTHER, NULL), 404);
        assert_int_equal(ask(w, "GET", "/vm", OTHER, NULL), 200);
        assert_int_equal(js_length(w->reply.body), 0);
        assert_int_equal(ask(w, "GET", "/vm", OWNER, NULL), 200);
        assert_int_equal(js_length(w->reply.body), 1);
        assert_int_equal(ask(w, "GET", "/vm/a", OWNER, NULL), 200);
        {
                _cleanup_free_ char *shown = js_text(w->reply.body, JS_SHORT);

                assert_non_null(strstr(shown, DIGEST));
                assert_null(strstr(shown, "sesame"));
        }
        assert_int_equal(ask(w, "GET", "/vm/a/events", OWNER, NULL), 200);
        assert_int_equal(js_length(w->reply.body), 1);
        assert_int_equal(ask(w, "GET", "/vm/a/events", OTHER, NULL), 200);
        assert_int_equal(js_length(w->reply.body), 0);
        assert_int_equal(ask(w, "DELETE", "/vm/a", OWNER, NULL), 204);
        assert_int_equal(ask(w, "DELETE", "/vm/a", OWNER, NULL), 404);
}

static void registrations(void **state) {
        static const struct {
                const char *from, *to; /* in the good one */
                const char *detail;
        } cases[] = {
                { "amd-sev\"", "amd-sev-x\"", "scheme" },
                { "amd-sev\"", "amd-sev-es\"", "policy: bit 2" },
                { "\"policy\":3", "\"policy\":2", "allow-debug" },
                { "\"policy\":3", "\"policy\":67", "bits 6 to 15" },
                { "\"policy\":3", "\"policy\":4294967299", "bits 6 to 15" },
                { "\"policy\":3,", "", "policy" },
                { "\"cloud-cert\":\"any\",", "", "cloud-cert" },
                { "\"any\"", "\"all\"", "cloud-cert" },
                { "\"any\"", "[]", "accepts no platform" },
                { "[\"" DIGEST "\"]", "[]", "launch-digests" },
                { "[\"" DIGEST "\"]", "[\"11\"]", "64 hexadecimal" },
                { "\"launch-digests\":[\"" DIGEST "\"]", "\"kernel-hash\":\"" DIGEST "\"",
                                "firmware-hashes" },
                { "\"launch-digests\"", "\"kernel-hash\"", "64 hexadecimal" },
                { "\"policy\":3", "\"policy\":3,\"kernel-hash\":\"" DIGEST "\"", "firmware enforces it" },
                { "\"policy\":3", "\"policy\":3,\"cmdline-hash\":\"" DIGEST "\"", "kernel-hash" },
                { "\"policy\":3", "\"policy\":3,\"computed-digests\":[\"" DIGEST "\"]",
                                "computed by the service" },
                { "\"policy\":3", "\"policy\":3,\"cpu-count\":1,\"cpu-count-max\":2", "only one of them" },
                { "\"policy\":3", "\"policy\":3,\"cpu-count-max\":513", "512" },
                { "\"policy\":3", "\"policy\":3,\"vm-type\":\"other\"", "vm-type" },
                { "\"launch-digests\"", "\"other\"", "other" },
                { "\"policy\":3", "\"policy\":3,\"kind\":\"image\"", "max-instances" },
                { "\"policy\":3", "\"policy\":3,\"kind\":\"x\"", "kind" },
                { "\"policy\":3", "\"policy\":3,\"max-instances\":0", "max-instances" },
                { "\"policy\":3", "\"policy\":3,\"over-limit\":\"wait\"", "over-limit" },
                { "\"policy\":3", "\"policy\":3,\"hold-seconds\":59", "hold-seconds" },
                { "\"policy\":3", "\"policy\":3,\"hold-seconds\":604801", "hold-seconds" },
                { "\"policy\":3", "\"policy\":3,\"min-build\":256", "min-build" },
                { "\"policy\":3", "\"policy\":3,\"secret-area-size\":32", "32" },
                { "\"type\":\"luks-passphrase\",", "", "passphrase" },
                { "\"passphrase\":\"sesame\"", "\"data\":\"c2VzYW1l\"", "unknown member" },
                { "{\"type\":\"luks-passphrase\",\"passphrase\":\"sesame\"}", "", "not empty" },
                { "{\"type\":\"luks-passphrase\",\"passphrase\":\"sesame\"}",
                                "{\"guid\":\"" LUKS "\",\"data\":\"!\"}", "base64" },
                { "\"sesame\"}", "\"sesame\"},{\"guid\":\"" LUKS "\",\"data\":\"AA==\"}", "duplicate GUID" },
        };
        World *w = *state;

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *body = NULL;
                const char *at = strstr(good, c->from);

                assert_non_null(at);
                assert_true(asprintf(&body, "%.*s%s%s", (int) (at - good), good, c->to,
                                            at + strlen(c->from)) > 0);
                if (ask(w, "POST", "/vm/a", OWNER, body) != 422 || !strstr(text(w, "detail"), c->detail))
                        fail_msg("%s: %u %s", body, w->reply.status, text(w, "detail"));
        }
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, "{\"scheme\":"), 400);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, "[]"), 400);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, "{\"a\":1,\"a\":2}"), 400);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, NULL), 400);
        assert_int_equal(ask(w, "GET", "/vm/a", OWNER, NULL), 404);
}

static void whole_way(void **state) {
        _cleanup_free_ char *first = NULL, *second = NULL;
        World *w = *state;
        Measured m, n;

        assert_int_equal(launch(w), 404);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        assert_int_equal(launch(w), 200);
        assert_int_equal(strlen(text(w, "session")), 172);
        assert_int_equal(strlen(text(w, "owner-cert")), 2780);
        m = measured(w, 0x11, 3);
        assert_int_equal(validate(w, &m, true), 200);
        open_packet(w, &m);
        first = js_text(w->reply.body, JS_SHORT);

        /* the same question, the same bytes; by whatever way */
        assert_int_equal(validate(w, &m, true), 200);
        second = js_text(w->reply.body, JS_SHORT);
        assert_string_equal(first, second);
        assert_int_equal(validate(w, &m, false), 200);

        /* one instance in an hour: the next start is not refused its session, but its secrets */
        assert_int_equal(launch(w), 200);
        n = measured(w, 0x11, 3);
        validate(w, &n, true);
        assert_problem(w, 429, "too-many-instances");
        assert_true(w->reply.retry_after > 0);
        w->now += 3601;
        assert_int_equal(launch(w), 200);
        n = measured(w, 0x11, 3);
        assert_int_equal(validate(w, &n, false), 200);
        open_packet(w, &n);
        assert_memory_not_equal(m.keys.tek, n.keys.tek, 16);
        assert_string_not_equal(m.id, n.id);

        /* no limit counts the first one any more: it is deleted, and counted all the same */
        validate(w, &m, true);
        assert_problem(w, 404, "unknown-launch");
        assert_int_equal(ask(w, "GET", "/vm/a", OWNER, NULL), 200);
        {
                uint64_t released;

                assert_ok(js_u64_value(js_get(w->reply.body, "launches-released"), &released));
                assert_int_equal(released, 2);
        }
        assert_int_equal(ask(w, "GET", "/vm/a/events", OWNER, NULL), 200);
        assert_int_equal(js_length(w->reply.body), 3); /* registered, 2 released */
}

/* Wrong measurements sent to a launch that has its secrets change nothing: it is not burned, not deleted, and counts as long as the
 * limit looks back. With and without `hold`, whatever the order of requests. */
static void released_is_final(void **state) {
        static const char *const limits[] = { "\"max-instances\":1,\"instance-window\":86400,",
                "\"max-instances\":1,\"instance-window\":86400,\"over-limit\":\"hold\"," };
        World *w = *state;

        FOREACH_ARRAY(limit, limits, ELEMENTSOF(limits)) {
                _cleanup_free_ char *body = NULL, *packet = NULL;
                unsigned beyond = strstr(*limit, "hold") ? 202 : 429;
                Measured first, wrong, next;

                assert_true(asprintf(&body, "{%s%s", *limit, good + 1) > 0);
                assert_int_equal(ask(w, "POST", "/vm/a", OWNER, body), 201);
                assert_int_equal(launch(w), 200);
                first = measured(w, 0x11, 3);
                assert_int_equal(validate(w, &first, true), 200);
                packet = js_text(w->reply.body, JS_SHORT);
                wrong = first;
                wrong.blob[0] ^= 1;
                for (unsigned i = 0; i < 12; i++) {
                        _cleanup_free_ char *again = NULL;

                        for (unsigned k = 0; k < LAUNCH_FAILURES + 1; k++) {
                                validate(w, &wrong, true);
                                assert_problem(w, 403, "measurement-mismatch");
                                assert_non_null(strstr(text(w, "detail"), "already received its secrets"));
                        }
                        assert_int_equal(validate(w, &first, true), 200);
                        again = js_text(w->reply.body, JS_SHORT);
                        assert_string_equal(again, packet);
                        w->now += LAUNCH_TTL_SECONDS + 1;
                        assert_int_equal(launch(w), 200); /* cleans up */
                        next = measured(w, 0x11, 3);
                        assert_int_equal(validate(w, &next, true), beyond);
                        assert_null(js_get(w->reply.body, "secret-payload"));
                }
                assert_int_equal(ask(w, "DELETE", "/vm/a", OWNER, NULL), 204);
        }
}

static void refusals(void **state) {
        World *w = *state;
        Measured m, wrong;

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        assert_int_equal(launch(w), 200);
        m = measured(w, 0x11, 3);
        wrong = measured(w, 0x12, 3);
        for (unsigned i = 0; i < 2; i++) {
                validate(w, &wrong, true);
                assert_problem(w, 403, "measurement-mismatch");
                assert_null(strstr(text(w, "detail"), DIGEST));
        }
        for (unsigned i = 0; i < 9; i++) { /* these count against nobody */
                validate(w, &wrong, false);
                assert_problem(w, 403, "measurement-mismatch");
        }
        wrong = measured(w, 0x11, 1); /* launched with another policy */
        memcpy(wrong.id, m.id, sizeof(m.id));
        validate(w, &wrong, true);
        assert_problem(w, 403, "measurement-mismatch");
        validate(w, &m, true);
        assert_problem(w, 410, "launch-burned");

        /* the keys of one launch do not open another */
        assert_int_equal(launch(w), 200);
        wrong = measured(w, 0x11, 3);
        assert_int_equal(launch(w), 200);
        m = measured(w, 0x11, 3);
        memcpy(wrong.id, m.id, sizeof(m.id));
        validate(w, &wrong, true);
        assert_problem(w, 403, "measurement-mismatch");
        m.id[0] = m.id[0] == '0' ? '1' : '0';
        validate(w, &m, true);
        assert_problem(w, 404, "unknown-launch");
        m.id[0] = 'x';
        assert_int_equal(validate(w, &m, true), 400);

        /* stale */
        assert_int_equal(launch(w), 200);
        m = measured(w, 0x11, 3);
        w->now += LAUNCH_TTL_SECONDS + 1;
        validate(w, &m, true);
        assert_problem(w, 410, "launch-expired");
        assert_int_equal(validate(w, &m, false), 403);
        assert_int_equal(launch(w), 200);
        validate(w, &m, true);
        assert_problem(w, 404, "unknown-launch");
}

static void launches(void **state) {
        static const char *const bodies[] = {
                "",
                "{",
                "{}",
                "{\"pdh\":1}",
                "{\"pdh\":\"AAAA\"}",
                "{\"pdh\":\"*\",\"cert-chain\":\"\"}",
                "null",
        };
        _cleanup_free_ char *unsigned_cek = NULL, *other_policy = NULL;
        World *w = *state;
        Measured first;

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        FOREACH_ARRAY(b, bodies, ELEMENTSOF(bodies)) {
                ask(w, "POST", "/vm/a/launch", NULL, *b);
                assert_problem(w, 400, "malformed");
        }
        assert_true(asprintf(&unsigned_cek, "{\"pdh\":\"%s\",\"cert-chain\":\"%s\",\"cpu-id\":\"AAAA\"}",
                                    w->pdh, w->chain) > 0);
        ask(w, "POST", "/vm/a/launch", NULL, unsigned_cek);
        assert_problem(w, 424, "cek-unsigned");
        assert_true(asprintf(&other_policy, "{\"policy\":1,\"pdh\":\"%s\",\"cert-chain\":\"%s\"}", w->pdh,
                                    w->signed_cek_chain) > 0);
        ask(w, "POST", "/vm/a/launch", NULL, other_policy);
        assert_problem(w, 409, "policy-mismatch");
        {
                _cleanup_free_ char *b64 = base64_encode(unsigned_cek, 48), *body = NULL;

                assert_true(asprintf(&body,
                                            "{\"policy\":1,\"measurement\":\"%s\",\"api-major\":1,\"api-"
                                            "minor\":2,\"build-id\":3}",
                                            b64) > 0);
                ask(w, "POST", "/vm/a/validate", NULL, body);
                assert_problem(w, 409, "policy-mismatch");
        }

        /* each open launch keeps its keys, whatever others begin from elsewhere (test-attestd-machine.c has the limit) */
        assert_int_equal(launch(w), 200);
        first = measured(w, 0x11, 3);
        for (unsigned i = 0; i < 5; i++)
                assert_int_equal(launch(w), 200);
        assert_int_equal(validate(w, &first, true), 200);
        assert_int_equal(ask(w, "GET", "/vm/a", OWNER, NULL), 200);
        {
                uint64_t n;

                assert_ok(js_u64_value(js_get(w->reply.body, "launches-open"), &n));
                assert_int_equal(n, 5);
        }
}

static void platforms(void **state) {
        _cleanup_free_ char *pinned = NULL;
        World *w = *state;
        TrustAnchor nobody = { .generation = "nobody" };

        assert_true(asprintf(&pinned,
                                    "{\"scheme\":\"amd-sev\",\"policy\":3,\"cloud-cert\":\"%064d\",\"launch-"
                                    "digests\":[\"" DIGEST "\"],\"secrets\":[{\"guid\":\"" LUKS
                                    "\",\"data\":\"c2VzYW1l\"}]}",
                                    0) > 0);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, pinned), 201);
        launch(w);
        assert_problem(w, 403, "platform-owner-not-accepted");
        assert_int_equal(ask(w, "DELETE", "/vm/a", OWNER, NULL), 204);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        assert_int_equal(launch(w), 200);
        /* every certificate that the host sends counts: a changed byte in a key, in a signature */
        for (size_t at = 40; at < 2084; at += 511) {
                char c = w->signed_cek_chain[at * 4];

                w->signed_cek_chain[at * 4] = c == 'A' ? 'B' : 'A';
                assert_int_not_equal(launch(w), 200);
                assert_int_not_equal(w->reply.status, 500);
                w->signed_cek_chain[at * 4] = c;
        }
        w->anchors.items = &nobody;
        launch(w);
        assert_problem(w, 403, "platform-not-authentic");
        w->anchors.items = &w->anchor;
        w->s.n_collateral = 0;
        launch(w);
        assert_problem(w, 424, "collateral-missing");
}

typedef struct Fetcher {
        int answer;
        unsigned asked;
        char id[129];
} Fetcher;

static int fetcher(void *userdata, const char *id, const char *peer, unsigned *ret_seconds) {
        Fetcher *f = userdata;

        assert_null(peer);
        *ret_seconds = 7;
        f->asked++;
        (void) snprintf(f->id, sizeof(f->id), "%s", id);
        return f->answer;
}

static unsigned launch_on_chip(World *w, const char *chain, const char *cpu_id) {
        _cleanup_free_ char *body = NULL;

        assert_true(asprintf(&body, "{\"pdh\":\"%s\",\"cert-chain\":\"%s\",\"cpu-id\":\"%s\"}", w->pdh,
                                    chain, cpu_id) > 0);
        return ask(w, "POST", "/vm/a/launch", NULL, body);
}

/* A CEK without AMD's signature: from the store, from who fetches, or the host's own affair. */
static void unsigned_ceks(void **state) {
        _cleanup_free_ char *path = NULL, *signed_cek = load64((const char *[]) { "cek-signed" }, 1),
                            *other = load64((const char *[]) { "oca" }, 1);
        World *w = *state;
        Fetcher f = { .answer = 1 };

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        launch_on_chip(w, w->chain, "qrs=");
        assert_problem(w, 424, "cek-unsigned");
        w->s.cek_store = w->folder;
        w->s.fetch = fetcher;
        w->s.fetch_data = &f;
        launch_on_chip(w, w->chain, "qrs=");
        assert_problem(w, 503, "cek-pending");
        assert_int_equal(w->reply.retry_after, 7);
        assert_int_equal(w->reply.error, 0);
        assert_string_equal(f.id, "aabb");
        f.answer = 0;
        launch_on_chip(w, w->chain, "qrs=");
        assert_problem(w, 424, "cek-unsigned");
        assert_int_equal(f.asked, 2);

        /* nobody is asked about what is complete, hopeless, or without a chip's id */
        assert_int_equal(launch_on_chip(w, w->signed_cek_chain, "qrs="), 200);
        w->chain[40 * 4] ^= 1;
        assert_int_not_equal(launch_on_chip(w, w->chain, "qrs="), 200);
        w->chain[40 * 4] ^= 1;
        assert_int_equal(launch_on_chip(w, w->chain, "../../etc/passwd"), 400);
        assert_int_equal(launch_on_chip(w, w->chain, ""), 400);
        assert_int_equal(f.asked, 2);

        assert_true(asprintf(&path, "%s/cek-aabb.cert", w->folder) > 0);
        assert_ok(file_write_atomic(path, signed_cek, strlen(signed_cek), 0600, 0));
        assert_int_equal(launch_on_chip(w, w->chain, "qrs="), 200);
        assert_int_equal(launch_on_chip(w, w->chain, "qrw="), 424);
        assert_int_equal(f.asked, 3);
        /* what lies there is of another kind, or of no kind: not a reason to believe */
        assert_ok(file_write_atomic(path, other, strlen(other), 0600, ATOMIC_FILE_REPLACE));
        assert_int_not_equal(launch_on_chip(w, w->chain, "qrs="), 200);
        {
                _cleanup_free_ uint8_t *cek = NULL;
                size_t n;

                assert_ok(base64_decode(signed_cek, strlen(signed_cek), &cek, &n));
                cek[0x20] ^= 1; /* another chip's */
                assert_ok(file_write_atomic(path, cek, n, 0600, ATOMIC_FILE_REPLACE));
        }
        launch_on_chip(w, w->chain, "qrs=");
        assert_problem(w, 403, "cpu-id-mismatch");
        assert_int_equal(unlink(path), 0);
}

/* What was answered is on the disk: another process, started after a crash, goes on from there. */
static void lasting(void **state) {
        World *w = *state;
        Measured m;
        struct stat st;

        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        assert_int_equal(launch(w), 200);
        m = measured(w, 0x11, 3);
        w->s.store = store_free(w->s.store);
        if (!postgresql_url()) {
                _cleanup_free_ char *data = NULL;
                size_t size;

                assert_int_equal(stat(w->db, &st), 0);
                assert_int_equal(st.st_mode & 0777, 0600);
                assert_ok(file_read_all(w->db, 1 << 20, &data, &size));
                assert_null(memmem(data, size, "sesame", 6));
                assert_null(memmem(data, size, m.keys.tek, 16));
                assert_null(memmem(data, size, m.keys.tik, 16));
                assert_null(memmem(data, size, &OWNER[7], strlen(OWNER) - 7));
        }
        open_test_store(w->db, /* again= */ true, &w->s.store);
        assert_int_equal(validate(w, &m, true), 200);
        open_packet(w, &m);

        /* with another key the secrets stay closed, and nothing is said */
        w->now += 3601;
        assert_int_equal(launch(w), 200);
        m = measured(w, 0x11, 3);
        w->vault.key.data[0] ^= 1;
        assert_int_equal(validate(w, &m, true), 500);
        assert_int_equal(w->reply.error, -EKEYREJECTED);
        w->vault.key.data[0] ^= 1;
        assert_int_equal(validate(w, &m, true), 200);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(paths, setup, teardown),
                cmocka_unit_test_setup_teardown(every_route, setup, teardown),
                cmocka_unit_test_setup_teardown(owners, setup, teardown),
                cmocka_unit_test_setup_teardown(registrations, setup, teardown),
                cmocka_unit_test_setup_teardown(whole_way, setup, teardown),
                cmocka_unit_test_setup_teardown(released_is_final, setup, teardown),
                cmocka_unit_test_setup_teardown(refusals, setup, teardown),
                cmocka_unit_test_setup_teardown(launches, setup, teardown),
                cmocka_unit_test_setup_teardown(platforms, setup, teardown),
                cmocka_unit_test_setup_teardown(unsigned_ceks, setup, teardown),
                cmocka_unit_test_setup_teardown(lasting, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
