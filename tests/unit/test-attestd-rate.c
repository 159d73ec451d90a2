/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "test.h"

#include "attestd-rate.h"
#include "macro.h"

static uint64_t usec(void *userdata) {
        return *(uint64_t *) userdata;
}

static unsigned taken(RateTable *t, const char *key, unsigned n) {
        unsigned k = 0;

        for (unsigned i = 0; i < n; i++)
                k += rate_take(t, key, "");
        return k;
}

static void refilled_steadily(_unused_ void **state) {
        uint64_t now = 1;
        RateTable t = { .per_second = 10, .burst = 20, .usec = usec, .userdata = &now, .seed = 4 };

        assert_int_equal(taken(&t, "/vm/a/launch", 50), 20);
        assert_int_equal(taken(&t, "/vm/b/launch", 50), 20);     /* another key */
        assert_true(rate_take(&t, "/vm/a/launch", "192.0.2.1")); /* somebody else */
        now += 99999;
        assert_int_equal(taken(&t, "/vm/a/launch", 50), 0);
        now += 1;
        assert_int_equal(taken(&t, "/vm/a/launch", 50), 1);
        now += 1000000;
        assert_int_equal(taken(&t, "/vm/a/launch", 50), 10);
        now += UINT64_C(1000000) * 3600 * 24 * 365 * 1000; /* nothing overflows, nothing is saved up */
        assert_int_equal(taken(&t, "/vm/a/launch", 50), 20);
        now = 5; /* a clock that goes back gives nothing, and takes nothing */
        assert_int_equal(taken(&t, "/vm/a/launch", 50), 0);
        now += 100000;
        assert_int_equal(taken(&t, "/vm/a/launch", 50), 1);
}

static void unlimited(_unused_ void **state) {
        uint64_t now = 1;
        RateTable t = { .usec = usec, .userdata = &now };

        assert_int_equal(taken(&t, "a", 5000), 5000);
}

/* Which keys share a bucket is not to be foreseen. */
static void seeded(_unused_ void **state) {
        unsigned shared[2] = {};

        for (unsigned run = 0; run < 2; run++)
                for (unsigned i = 0; i < 300; i++) {
                        uint64_t now = 1;
                        RateTable t = { .per_second = 1,
                                .burst = 1,
                                .usec = usec,
                                .userdata = &now,
                                .seed = run == 0 ? i * UINT64_C(0x9e3779b97f4a7c15) : 7 };
                        char other[32];

                        (void) snprintf(other, sizeof(other), "/vm/%u/launch", run == 0 ? 5 : i);
                        assert_true(rate_take(&t, "/vm/victim/launch", ""));
                        shared[run] += !rate_take(&t, other, "");
                }
        assert_true(shared[0] <= 5 && shared[1] <= 5); /* one in 1024 */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(refilled_steadily),
                cmocka_unit_test(unlimited),
                cmocka_unit_test(seeded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
