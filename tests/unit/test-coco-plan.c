/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "test.h"

#include "plan.h"

static void plan_survives_json(_unused_ void **state) {
        LaunchPlan p = { .mode = COCO_SEV_SNP,
                .vcpus = 4,
                .sev.features = 1,
                .policy = 0x30000,
                .sev.kernel_hashes = true },
                   q = {};
        char *error = NULL, *a, *b;
        Json *j = NULL, *k = NULL;

        p.cpu_model = strdup("EPYC-v4");
        assert_ok(plan_input_add(&p.initrd, "base", 5, 0, 97));
        assert_ok(plan_input_add(&p.initrd, "padding", -EBADF, 0, 3));
        assert_ok(plan_input_add(&p.initrd, "credentials", 6, 0, 692));
        assert_int_equal(plan_input_size(&p.initrd), 792);

        assert_ok(launch_plan_to_json(&p, &j));
        assert_ok(launch_plan_from_json(j, &q, &error));
        assert_null(error);
        assert_ok(launch_plan_to_json(&q, &k));
        a = js_text(j, JS_SHORT);
        b = js_text(k, JS_SHORT);
        assert_string_equal(a, b);
        assert_false(q.kernel.present);
        assert_int_equal(q.initrd.parts[1].fd, -EBADF);

        free(a);
        free(b);
        js_unref(j);
        js_unref(k);
        launch_plan_done(&p);
        launch_plan_done(&q);
}

static void bad_plans_are_named(_unused_ void **state) {
        static const struct {
                const char *text, *expected;
        } cases[] = {
                { "[]", "launch plan: expected a JSON object" },
                { "{\"mode\":\"cca\"}",
                                "launch plan: member 'mode': expected no, sev, sev-es, sev-snp or tdx" },
                { "{\"mode\":\"sev\"}", "launch plan: member 'vcpus' is missing" },
                { "{\"modus\":\"sev\"}", "launch plan: unknown member 'modus'" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                LaunchPlan p = {};
                char *error = NULL;
                Json *j = NULL;

                assert_ok(js_parse(cases[i].text, strlen(cases[i].text), &j, &error));
                assert_true(launch_plan_from_json(j, &p, &error) < 0);
                assert_string_equal(error, cases[i].expected);
                free(error);
                js_unref(j);
        }
}

static void lengths_do_not_wrap(_unused_ void **state) {
        PlanInput in = {};

        assert_ok(plan_input_add(&in, "a", 3, 0, UINT64_MAX - 1));
        assert_error(plan_input_add(&in, "b", 3, 0, 2), EOVERFLOW);
        assert_int_equal(in.n_parts, 1);
        plan_input_done(&in);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(plan_survives_json),
                cmocka_unit_test(bad_plans_are_named),
                cmocka_unit_test(lengths_do_not_wrap),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
