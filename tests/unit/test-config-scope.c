/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config-scope.h"
#include "strutil.h"
#include "test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What systemd-run(1) sends for the same words: sd_bus_message_dump() of systemd 252. */
static void numbers_are_those_of_systemd(_unused_ void **state) {
        static const struct {
                const char *assignment, *property;
                ScopeKind kind;
                bool scale;
                uint64_t number;
        } wanted[] = {
                { "MemoryMax=2G", "MemoryMax", SCOPE_BYTES, false, UINT64_C(2) << 30 },
                { "MemoryMax=infinity", "MemoryMax", SCOPE_BYTES, false, UINT64_MAX },
                { "MemoryHigh=50%", "MemoryHigh", SCOPE_BYTES, true, 2147483647 },
                { "TasksMax=100", "TasksMax", SCOPE_TASKS, false, 100 },
                { "CPUQuota=150%", "CPUQuotaPerSecUSec", SCOPE_PERCENT, false, 1500000 },
                { "CPUWeight=200", "CPUWeight", SCOPE_WEIGHT, false, 200 },
                { "CPUWeight=idle", "CPUWeight", SCOPE_WEIGHT, false, 0 },
                { "RuntimeMaxSec=2min", "RuntimeMaxUSec", SCOPE_USEC, false, 120000000 },
                { "RuntimeMaxSec=infinity", "RuntimeMaxUSec", SCOPE_USEC, false, UINT64_MAX },
                { "Delegate=no", "Delegate", SCOPE_BOOL, false, 0 },
                { "IPAccounting=yes", "IPAccounting", SCOPE_BOOL, false, 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
                ScopeValue v;

                assert_int_equal(scope_value_parse(wanted[i].assignment, &v, NULL), 0);
                assert_string_equal(v.property, wanted[i].property);
                assert_int_equal(v.kind, wanted[i].kind);
                assert_int_equal(v.scale, wanted[i].scale);
                assert_true(v.number == wanted[i].number);
                scope_value_done(&v);
        }
}

static void texts_units_and_cpus(_unused_ void **state) {
        static const uint8_t mask[2] = { 0x0f, 0x02 };
        ScopeValue v;

        assert_int_equal(scope_value_parse("Description=a=b c", &v, NULL), 0);
        assert_string_equal(v.text, "a=b c");
        scope_value_done(&v);

        assert_int_equal(scope_value_parse("After=a.service b@x.target", &v, NULL), 0);
        assert_int_equal(strv_length(v.words), 2);
        assert_string_equal(v.words[1], "b@x.target");
        scope_value_done(&v);

        assert_int_equal(scope_value_parse("AllowedCPUs=0-3,9", &v, NULL), 0);
        assert_int_equal(v.n_bits, sizeof(mask));
        assert_memory_equal(v.bits, mask, sizeof(mask));
        scope_value_done(&v);

        assert_int_equal(scope_value_parse("AllowedCPUs=1023", &v, NULL), 0);
        assert_int_equal(v.n_bits, SCOPE_CPUS_MAX / 8);
        assert_int_equal(v.bits[SCOPE_CPUS_MAX / 8 - 1], 0x80);
        scope_value_done(&v);
}

static void what_is_refused_names_what_is_expected(_unused_ void **state) {
        static const struct {
                const char *assignment, *says;
        } wanted[] = {
                { "MemoryMax", "expected NAME=VALUE" },
                { "=1", "not a property" },
                { "Memorymax=1", "MemoryMax" },
                { "ExecStart=x", "not a property" },
                { "MemoryMax=x", "bytes" },
                { "MemoryMax=101%", "bytes" },
                { "MemoryMax=", "bytes" },
                { "TasksMax=1G", "a number" },
                { "CPUQuota=1", "percentage" },
                { "CPUQuota=0%", "percentage" },
                { "CPUWeight=0", "1 to 10000" },
                { "CPUWeight=10001", "1 to 10000" },
                { "Delegate=maybe", "yes or no" },
                { "RuntimeMaxSec=x", "a time" },
                { "AllowedCPUs=3-1", "numbers" },
                { "AllowedCPUs=1024", "numbers" },
                { "AllowedCPUs=", "numbers" },
                { "AllowedCPUs=1,,2", "numbers" },
                { "After=x", "units" },
                { "After=a.service  b.service", "units" },
                { "After=", "units" },
                { "Description=", "text" },
        };

        for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
                _cleanup_free_ char *error = NULL;
                ScopeValue v;

                assert_int_equal(scope_value_parse(wanted[i].assignment, &v, &error), -EINVAL);
                assert_non_null(strstr(error, wanted[i].says));
        }
}

/* machined's name of the scope: systemd-escape(1) has the same result. */
static void the_scope_is_named_as_machined_does(_unused_ void **state) {
        static const char *const wanted[][2] = {
                { "web", "machine-web.scope" },
                { "web-1", "machine-web\\x2d1.scope" },
                { "a.b_c", "machine-a.b_c.scope" },
        };

        for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
                _cleanup_free_ char *name = NULL;

                assert_int_equal(scope_name(wanted[i][0], &name), 0);
                assert_string_equal(name, wanted[i][1]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(numbers_are_those_of_systemd),
                cmocka_unit_test(texts_units_and_cpus),
                cmocka_unit_test(what_is_refused_names_what_is_expected),
                cmocka_unit_test(the_scope_is_named_as_machined_does),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
