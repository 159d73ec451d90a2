/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"

#include "crypto-hash.h"
#include "encode.h"

/* FIPS 180-4 examples: the message "abc", as NIST publishes them. */
static const struct {
        HashAlgorithm algorithm;
        const char *name;
        size_t size;
        const char *abc;
} rows[] = {
        { HASH_SHA256, "sha256", SHA256_SIZE,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { HASH_SHA384, "sha384", SHA384_SIZE,
                        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                        "8086072ba1e7cc2358baeca134c825a7" },
        { HASH_SHA512, "sha512", SHA512_SIZE,
                        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f" },
};

static void assert_digest(const uint8_t *digest, size_t n, const char *expected) {
        char *hex = hex_encode(digest, n);

        assert_string_equal(hex, expected);
        free(hex);
}

static void known_answers(_unused_ void **state) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint8_t digest[HASH_SIZE_MAX];

                assert_int_equal(hash_size(rows[i].algorithm), rows[i].size);
                assert_string_equal(hash_algorithm_to_string(rows[i].algorithm), rows[i].name);
                assert_int_equal(hash_algorithm_from_string(rows[i].name), rows[i].algorithm);
                assert_ok(hash_digest(rows[i].algorithm, "abc", 3, digest));
                assert_digest(digest, rows[i].size, rows[i].abc);
        }
        assert_int_equal(hash_algorithm_from_string("md5"), _HASH_ALGORITHM_INVALID);
}

static void clones_continue_where_the_original_was(_unused_ void **state) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                uint8_t digest[HASH_SIZE_MAX], other[HASH_SIZE_MAX];
                _cleanup_hash_ Hash *h = NULL, *c = NULL, *d = NULL;

                assert_ok(hash_new(rows[i].algorithm, &h));
                assert_ok(hash_update(h, "a", 1));
                assert_ok(hash_clone(h, &c));
                assert_ok(hash_new(rows[i].algorithm, &d));
                assert_ok(hash_update(d, "something else", 14));
                assert_ok(hash_assign(d, h));

                assert_ok(hash_update(h, "xyz", 3));
                assert_ok(hash_update(c, "bc", 2));
                assert_ok(hash_update(d, "b", 1));
                assert_ok(hash_update(d, "c", 1));
                assert_ok(hash_final(c, digest));
                assert_digest(digest, rows[i].size, rows[i].abc);
                assert_ok(hash_final(d, digest));
                assert_digest(digest, rows[i].size, rows[i].abc);
                assert_ok(hash_final(h, other));
                assert_memory_not_equal(digest, other, rows[i].size);

                /* As new after final and after reset. */
                assert_ok(hash_update(c, "zzz", 3));
                assert_ok(hash_reset(c));
                assert_ok(hash_update(c, "abc", 3));
                assert_ok(hash_final(c, digest));
                assert_digest(digest, rows[i].size, rows[i].abc);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(known_answers),
                cmocka_unit_test(clones_continue_where_the_original_was),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
