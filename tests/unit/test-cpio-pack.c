/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "test.h"

#include "cpio-pack.h"
#include "crypto-hash.h"
#include "encode.h"
#include "error.h"

typedef struct Row {
        const char *id;
        const char *value;
        size_t size;
} Row;

static void fill_set(CredentialSet *set, const Row *rows, size_t n) {
        for (size_t i = 0; i < n; i++) {
                SecretBuf value = {};

                assert_ok(secret_buf_copy(&value, rows[i].value, rows[i].size));
                assert_ok(credential_set_add(set, rows[i].id, &value, NULL));
        }
}

static void assert_archive(const Row *rows, size_t n, size_t size, const char *sha256) {
        _cleanup_(credential_set_done) CredentialSet set = {};
        _cleanup_free_ char *hex = NULL;
        uint8_t digest[SHA256_SIZE];
        _cleanup_free_ uint8_t *buf = NULL;
        char *error = NULL;
        uint64_t planned;

        fill_set(&set, rows, n);
        assert_ok(cpio_credentials_size(&set, &planned));
        assert_int_equal(planned, size);
        buf = malloc(size);
        assert_non_null(buf);
        memset(buf, 0xaa, size);
        assert_ok(cpio_credentials_write(&set, buf, size, &error));
        assert_null(error);

        assert_ok(hash_digest(HASH_SHA256, buf, size, digest));
        hex = hex_encode(digest, sizeof(digest));
        assert_string_equal(hex, sha256);
}

/* The first archive was recorded from systemd-vmspawn 262.1 (Debian sid) with --coco=sev-snp and a stand-in for QEMU;
 * the others were computed by an independent implementation of the same format. tests/interop/test_vmspawn_cpio.py asks
 * the real program again where it can be had. */
static void test_golden(_unused_ void **state) {
        assert_archive((Row[]) { { "foo", "hello", 5 }, { "bar", "abc\0def", 7 } }, 2, 692,
                        "d6d140e8563cede051be09c73d81680e31427fa24db9d5fb076c073b00921b1f");
        assert_archive((Row[]) { { "a", "", 0 } }, 1, 524,
                        "8c9d555e845340acc2edf8aaeaae0083a70cea7745987ff19d2a3a43ed0a4ead");
        assert_archive((Row[]) { { "a", "x", 1 } }, 1, 528,
                        "46149762d0e945adaf7ebb4bbedc28ab787c4c12bcca5f526204d76cd21d8362");
        assert_archive((Row[]) { { "aaaa", "1234", 4 } }, 1, 532,
                        "40ef8f1ca5fada88c2723f79690b24cf6f4a06abf79e95da978f46e6b0be608e");
}

static void test_none(_unused_ void **state) {
        const CredentialSet set = {};
        uint64_t size = 1;

        assert_ok(cpio_credentials_size(&set, &size));
        assert_int_equal(size, 0);
        assert_ok(cpio_credentials_write(&set, NULL, 0, NULL));
}

/* Planned and written size agree for every residue of name and value length modulo 4; a wrong size is refused. */
static void test_sizes(_unused_ void **state) {
        static const char names[] = "abcdefgh";
        static uint8_t buf[1024];

        for (size_t length = 1; length <= 8; length++)
                for (size_t size = 0; size <= 9; size++) {
                        _cleanup_(credential_set_done) CredentialSet set = {};
                        char id[16];
                        uint64_t planned;
                        Row row = { id, "123456789", size };

                        (void) snprintf(id, sizeof(id), "%.*s", (int) length, names);
                        fill_set(&set, &row, 1);
                        assert_ok(cpio_credentials_size(&set, &planned));
                        assert_int_equal(planned % 4, 0);
                        assert_true(planned < sizeof(buf));
                        assert_ok(cpio_credentials_write(&set, buf, planned, NULL));
                        assert_memory_equal(buf + planned - 14, "TRAILER!!!\0\0\0\0", 14);
                        assert_error(cpio_credentials_write(&set, buf, planned - 1, NULL), EINVAL);
                        assert_error(cpio_credentials_write(&set, buf, planned + 1, NULL), EINVAL);
                }
}

/* A set that was not filled through credential_set_add() cannot name a file elsewhere. */
static void test_bad_name(_unused_ void **state) {
        Credential item = { .id = (char *) "../../etc/evil" };
        const CredentialSet set = { .items = &item, .n_items = 1 };
        char *error = NULL;
        uint64_t size;
        char buf[16];

        assert_error(cpio_credentials_size(&set, &size), EINVAL);
        assert_error(cpio_credentials_write(&set, buf, sizeof(buf), &error), EINVAL);
        assert_non_null(error);
        free(error);
}

/* The longest name and the largest value that a guest imports. */
static void test_limits(_unused_ void **state) {
        _cleanup_(credential_set_done) CredentialSet set = {};
        _cleanup_free_ uint8_t *buf = NULL;
        char id[CREDENTIAL_NAME_MAX + 1];
        SecretBuf value = {};
        uint64_t size;

        memset(id, 'n', sizeof(id) - 1);
        id[sizeof(id) - 1] = 0;
        assert_ok(secret_buf_alloc(&value, CREDENTIAL_SIZE_MAX));
        memset(value.data, 0x5a, value.size);
        assert_ok(credential_set_add(&set, id, &value, NULL));

        assert_ok(cpio_credentials_size(&set, &size));
        assert_int_equal(size, 380 + 392 + CREDENTIAL_SIZE_MAX);
        buf = malloc(size);
        assert_non_null(buf);
        assert_ok(cpio_credentials_write(&set, buf, size, NULL));
        assert_memory_equal(buf + 120 + 136 + 392, set.items[0].value.data, CREDENTIAL_SIZE_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden),
                cmocka_unit_test(test_none),
                cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_bad_name),
                cmocka_unit_test(test_limits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
