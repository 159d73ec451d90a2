/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-confine.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

static void set_soft(rlim_t bytes) {
        struct rlimit limit;

        assert_ok(getrlimit(RLIMIT_MEMLOCK, &limit));
        limit.rlim_cur = bytes;
        assert_ok(setrlimit(RLIMIT_MEMLOCK, &limit));
}

/* SNP, plain and simulated guests pin nothing. */
static void only_sev_and_sev_es(_unused_ void **state) {
        static const VmConfig configs[] = {
                { .coco = COCO_NONE, .ram = 2048 * MIB },
                { .coco = COCO_SEV_SNP, .ram = 2048 * MIB },
                { .coco = COCO_SEV, .simulate = true, .ram = 2048 * MIB },
        };

        set_soft(0);
        for (size_t i = 0; i < ELEMENTSOF(configs); i++) {
                QemuUser user = { .change = true };
                char *notice = NULL, *error = NULL;

                assert_ok(run_choose_memlock(&configs[i], &user, &notice, &error));
                assert_true(user.change);
                assert_int_equal(user.memlock, 0);
                assert_null(notice);
        }
}

/* For any user: the limit suffices, is raised, does not bind us, or there is an error message with the numbers. */
static void one_of_four(_unused_ void **state) {
        const VmConfig config = { .coco = COCO_SEV_ES, .ram = 1024 * MIB };
        QemuUser user = { .change = true };
        char *notice = NULL, *error = NULL;
        int r;

        set_soft(0);
        r = run_choose_memlock(&config, &user, &notice, &error);
        if (r < 0) {
                assert_error(r, EPERM);
                assert_non_null(strstr(error, "1280 MiB"));
                assert_non_null(strstr(error, "ulimit -l 1310720"));
        } else if (user.memlock > 0)
                assert_int_equal(user.memlock, 1280 * MIB);
        else {
                assert_int_equal(geteuid(), 0);
                assert_false(user.change);
                assert_non_null(notice);
        }
        free(notice);
        free(error);
}

static void another_user_who_was_named_is_not_dropped(_unused_ void **state) {
        const VmConfig config = { .coco = COCO_SEV, .ram = 1024 * MIB, .qemu_user = (char *) "nobody" };
        QemuUser user = { .change = true };
        char *notice = NULL, *error = NULL;
        int r;

        set_soft(0);
        r = run_choose_memlock(&config, &user, &notice, &error);
        assert_true(user.change);
        assert_null(notice);
        assert_true(r < 0 ? !!error : user.memlock > 0);
        free(error);
}

static void raised_up_to_the_hard_limit(_unused_ void **state) {
        const QemuUser none = {}, some = { .memlock = 64 * 1024 };
        struct rlimit limit;

        assert_ok(getrlimit(RLIMIT_MEMLOCK, &limit));
        if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < some.memlock)
                skip();
        set_soft(0);
        assert_ok(run_raise_memlock(&none));
        assert_ok(getrlimit(RLIMIT_MEMLOCK, &limit));
        assert_int_equal(limit.rlim_cur, 0);
        assert_ok(run_raise_memlock(&some));
        assert_ok(getrlimit(RLIMIT_MEMLOCK, &limit));
        assert_int_equal(limit.rlim_cur, some.memlock);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_sev_and_sev_es),
                cmocka_unit_test(one_of_four),
                cmocka_unit_test(another_user_who_was_named_is_not_dropped),
                cmocka_unit_test(raised_up_to_the_hard_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
