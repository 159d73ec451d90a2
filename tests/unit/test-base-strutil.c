/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "test.h"

#include "strutil.h"

static void numbers_are_whole(_unused_ void **state) {
        static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "0x", "0xg", "1.5", "1k" };
        uint64_t v = 42;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_error(parse_u64(bad[i], &v), EINVAL);
        assert_error(parse_u64("18446744073709551616", &v), ERANGE);
        assert_int_equal(v, 42);
        assert_ok(parse_u64("0xFFFFffffFFFFffff", &v));
        assert_true(v == UINT64_MAX);
}

static void sizes_and_times(_unused_ void **state) {
        uint64_t v;

        assert_ok(parse_size("2G", &v));
        assert_true(v == 2147483648);
        assert_ok(parse_size("512", &v));
        assert_int_equal(v, 512);
        assert_ok(parse_size("3.5G", &v));
        assert_true(v == 3758096384);
        assert_ok(parse_size("0.25m", &v));
        assert_int_equal(v, 262144);
        assert_ok(parse_size("1.000001T", &v));
        assert_true(v == 1099511627776 + 1099511);
        for (const char *const *bad = (const char *const[]) { "3.5", "3.5B", "3.G", ".5G", "3.5.1G", "3,5G",
                             "1.0000001T", "3.5 G", "-1G", "2G2", NULL };
                        *bad; bad++)
                assert_error(parse_size(*bad, &v), EINVAL);
        assert_error(parse_size("2GB", &v), EINVAL);
        assert_error(parse_size("99999999T", &v), ERANGE);
        assert_ok(parse_usec("2min 30s", &v));
        assert_true(v == 150000000);
        assert_ok(parse_usec("250ms", &v));
        assert_int_equal(v, 250000);
        assert_ok(parse_usec("7", &v));
        assert_int_equal(v, 7000000);
        assert_error(parse_usec("7x", &v), EINVAL);
        assert_error(parse_usec("", &v), EINVAL);
}

static void escapes_are_strict(_unused_ void **state) {
        static const char *const bad[] = { "\\", "x\\q", "\\x1", "\\400", "\\12", "\\u12", "\\ud800",
                "\\U00110000" };
        char *s = NULL;
        size_t n = 0, offset = 99;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_error(unescape_c(bad[i], strlen(bad[i]), &s, &n, &offset), EINVAL);
        assert_ok(unescape_c("abc\\x00def\\n\\101\\u20ac\\s\\\\", 26, &s, &n, &offset));
        assert_int_equal(n, 14);
        assert_memory_equal(s, "abc\0def\nA\xe2\x82\xac \\", 14);
        free(s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(numbers_are_whole),
                cmocka_unit_test(sizes_and_times),
                cmocka_unit_test(escapes_are_strict),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
