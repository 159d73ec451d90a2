/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "test.h"

#include <string.h>

/* As systemd-vmspawn 262.1 made them on a machine with this id. */
static void the_same_names_and_addresses_as_vmspawn(_unused_ void **state) {
        static const uint8_t id[16] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45,
                0x67, 0x89, 0xab, 0xcd, 0xef };
        static const struct {
                const char *machine, *tap;
                uint8_t mac[6];
        } wanted[] = {
                { "d", "vt-d", { 0x32, 0x6f, 0xba, 0x0b, 0x20, 0xa6 } },
                { "averylongmachinename", "vt-averylonf3OO", { 0xc6, 0xee, 0xda, 0xe6, 0xf0, 0x67 } },
        };

        for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
                char name[TAP_NAME_SIZE];
                uint8_t mac[6];

                vm_config_tap_name(wanted[i].machine, name);
                assert_string_equal(name, wanted[i].tap);
                vm_config_mac(id, wanted[i].machine, mac);
                assert_memory_equal(mac, wanted[i].mac, sizeof(mac));
        }
}

/* The kernel takes 15 characters. */
static void every_name_fits(_unused_ void **state) {
        char machine[80] = "";

        for (size_t n = 1; n < sizeof(machine) - 1; n++) {
                char name[TAP_NAME_SIZE];

                machine[n - 1] = 'a';
                machine[n] = 0;
                memset(name, 'x', sizeof(name));
                vm_config_tap_name(machine, name);
                assert_true(memchr(name, 0, sizeof(name)) != NULL);
                assert_int_equal(strlen(name), n + 3 < 15 ? n + 3 : 15);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_same_names_and_addresses_as_vmspawn),
                cmocka_unit_test(every_name_fits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
