/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "test.h"

/* As systemd-vmspawn 262.1 put them on the wire for a machine called "d". */
static void the_same_address_as_vmspawn(_unused_ void **state) {
        assert_int_equal(vm_config_cid("d", 0), 4288012282);
        assert_int_equal(vm_config_cid("d", 1), 2349583810);
        assert_int_equal(vm_config_cid("d", 2), 1918722074);
}

/* Never one of the reserved addresses, whatever the name. */
static void addresses_are_in_range(_unused_ void **state) {
        char name[300];

        for (size_t n = 0; n < sizeof(name); n++) {
                uint32_t cid;

                name[n] = 0;
                cid = vm_config_cid(name, (uint32_t) n);
                assert_true(cid >= 3 && cid <= 0xfffffffe);
                name[n] = 'a';
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_same_address_as_vmspawn),
                cmocka_unit_test(addresses_are_in_range),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
