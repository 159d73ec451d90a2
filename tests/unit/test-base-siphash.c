/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "macro.h"
#include "siphash.h"
#include "test.h"

/* The paper's appendix A: key 00 01 ... 0f, message 00 01 ... 0e. */
static void the_papers_vector(_unused_ void **state) {
        uint8_t key[16], message[15];

        for (uint8_t i = 0; i < sizeof(key); i++)
                key[i] = i;
        for (uint8_t i = 0; i < sizeof(message); i++)
                message[i] = i;
        assert_true(siphash24(message, sizeof(message), key) == UINT64_C(0xa129ca6149be45e5));
}

/* The reference implementation's vectors.h, for the first and the last of its sizes. */
static void every_remainder(_unused_ void **state) {
        static const uint64_t wanted[] = {
                UINT64_C(0x726fdb47dd0e0e31),
                UINT64_C(0x74f839c593dc67fd),
                UINT64_C(0x0d6c8009d9a94f5a),
                UINT64_C(0x85676696d7fb7e2d),
                UINT64_C(0xcf2794e0277187b7),
                UINT64_C(0x18765564cd99a68d),
                UINT64_C(0xcbc9466e58fee3ce),
                UINT64_C(0xab0200f58b01d137),
                UINT64_C(0x93f5f5799a932462),
        };
        uint8_t key[16], message[ELEMENTSOF(wanted)];

        for (uint8_t i = 0; i < sizeof(key); i++)
                key[i] = i;
        for (uint8_t i = 0; i < sizeof(message); i++)
                message[i] = i;
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
                assert_true(siphash24(message, i, key) == wanted[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_papers_vector),
                cmocka_unit_test(every_remainder),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
