/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What owners see besides their launches: why hosts were refused, and until when certificates are valid. */

#include "attestd-world.h"

/* The newest first; the code and the reason that the host got. */
static void assert_refusal(World *w, size_t i, const char *request, const char *code) {
        const Json *j = js_at(w->reply.body, i);

        assert_string_equal(js_string_value(js_get(j, "vm")), "a");
        assert_string_equal(js_string_value(js_get(j, "request")), request);
        assert_string_equal(js_string_value(js_get(j, "code")), code);
        assert_non_null(js_string_value(js_get(j, "detail")));
}

static void why_refused(void **state) {
        _cleanup_free_ Refusals *refusals = calloc(1, sizeof(Refusals));
        World *w = *state;
        Measured m;

        assert_non_null(refusals);
        assert_int_equal(ask(w, "GET", "/refusals", OWNER, NULL), 200); /* not kept */
        assert_int_equal(js_length(w->reply.body), 0);
        w->s.refusals = refusals;
        assert_int_equal(launch(w), 404); /* of nobody */
        assert_int_equal(refusals->n, 0);
        assert_int_equal(ask(w, "POST", "/vm/a", OWNER, good), 201);
        assert_int_equal(ask(w, "POST", "/vm/a/launch", NULL, "{"), 400);
        assert_int_equal(launch(w), 200);
        m = measured(w, 0x12, 3);
        assert_int_equal(validate(w, &m, true), 403);
        assert_int_equal(ask(w, "GET", "/refusals", OWNER, NULL), 200);
        assert_int_equal(js_length(w->reply.body), 2);
        assert_refusal(w, 0, "validate", "measurement-mismatch");
        assert_refusal(w, 1, "launch", "malformed");
        assert_int_equal(ask(w, "GET", "/refusals", OTHER, NULL), 200);
        assert_int_equal(js_length(w->reply.body), 0);
        assert_int_equal(ask(w, "GET", "/refusals", NULL, NULL), 401);
        /* Its share, however often. */
        for (unsigned i = 0; i < 3 * REFUSALS_PER_VM; i++)
                assert_int_equal(ask(w, "POST", "/vm/a/launch", NULL, "{"), 400);
        assert_int_equal(ask(w, "GET", "/refusals", OWNER, NULL), 200);
        assert_int_equal(js_length(w->reply.body), REFUSALS_PER_VM);
        w->s.refusals = NULL;
}

/* One that fails again and again pushes out its own, not those of others; all together are limited. */
static void refusals_are_limited(_unused_ void **state) {
        _cleanup_free_ Refusals *l = calloc(1, sizeof(Refusals));
        Refusal f = { .request = "launch", .owner = 1, .vm = "quiet" };
        const Refusal *found;
        size_t n = 0;

        assert_non_null(l);
        refusals_add(l, &f);
        f.owner = 2;
        (void) snprintf(f.vm, sizeof(f.vm), "loud");
        for (f.time = 0; f.time < 1000; f.time++)
                refusals_add(l, &f);
        found = refusals_before(l, 1, UINT64_MAX);
        assert_non_null(found);
        assert_string_equal(found->vm, "quiet");
        assert_null(refusals_before(l, 1, found->number));
        found = refusals_before(l, 2, UINT64_MAX);
        assert_non_null(found);
        assert_int_equal(found->time, 999);
        for (; found; found = refusals_before(l, 2, found->number))
                n++;
        assert_int_equal(n, REFUSALS_PER_VM);
        for (unsigned i = 0; i < REFUSALS_MAX; i++) {
                (void) snprintf(f.vm, sizeof(f.vm), "many-%u", i);
                refusals_add(l, &f);
        }
        assert_null(refusals_before(l, 1, UINT64_MAX));
}

static void certificates(void **state) {
        static const uint8_t fingerprint[32] = { 7 };
        World *w = *state;
        Request q = { .method = "GET",
                .path = "/certificates",
                .certificate = fingerprint,
                .certificate_until = 2000 };

        assert_int_equal(ask(w, "GET", "/certificates", NULL, NULL), 401);
        assert_int_equal(ask(w, "GET", "/certificates", OWNER, NULL), 200);
        assert_int_equal(js_length(w->reply.body), 0);
        w->s.tls_until = 1000;
        assert_ok(w->s.store->ops->owner_add(w->s.store, "certified", fingerprint));
        assert_int_equal(answer(w, &q), 200);
        assert_int_equal(js_length(w->reply.body), 2);
        assert_string_equal(js_string_value(js_get(js_at(w->reply.body, 0), "use")), "server");
        assert_string_equal(js_string_value(js_get(js_at(w->reply.body, 1), "use")), "owner");
        /* What a page of another site asks for in the name of the browser's user is not the owner's wish. */
        q.cross_site = true;
        assert_int_equal(answer(w, &q), 401);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(why_refused, setup, teardown),
                cmocka_unit_test(refusals_are_limited),
                cmocka_unit_test_setup_teardown(certificates, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
