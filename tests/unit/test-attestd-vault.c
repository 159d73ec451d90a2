/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The service's key file, and records under it: they open in their place, unchanged, and nowhere else. */

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "attestd-vault.h"

static void vault(_unused_ void **state) {
        static const VaultPlace secrets_a = { "secrets", "a", 1 }, secrets_b = { "secrets", "b", 1 },
                                launch_a = { "launch", "a", 1 };
        char folder[] = "/tmp/test-attestd-vault.XXXXXX";
        _cleanup_(secret_buf_done) SecretBuf plain = {};
        _cleanup_(vault_done) Vault v = {}, again = {};
        _cleanup_free_ uint8_t *record_bytes = NULL;
        char path[sizeof(folder) + 4];
        size_t n;

        assert_non_null(mkdtemp(folder));
        (void) snprintf(path, sizeof(path), "%s/key", folder);
        assert_error(vault_open(path, false, &v, NULL), ENOENT);
        assert_ok(vault_open(path, true, &v, NULL));
        assert_ok(vault_open(path, true, &again, NULL));
        assert_memory_equal(v.key.data, again.key.data, VAULT_KEY_SIZE);
        vault_done(&again);
        assert_int_equal(chmod(path, 0644), 0);
        assert_error(vault_open(path, true, &again, NULL), EPERM);

        assert_ok(vault_seal(&v, &secrets_a, "data", 4, &record_bytes, &n));
        assert_int_equal(n, 4 + VAULT_OVERHEAD);
        assert_ok(vault_unseal(&v, &secrets_a, record_bytes, n, &plain));
        assert_memory_equal(plain.data, "data", 4);
        secret_buf_done(&plain);
        assert_error(vault_unseal(&v, &secrets_b, record_bytes, n, &plain), EKEYREJECTED);
        assert_error(vault_unseal(&v, &launch_a, record_bytes, n, &plain), EKEYREJECTED);
        assert_error(vault_unseal(&v, &secrets_a, record_bytes, n - 1, &plain), EKEYREJECTED);
        assert_error(vault_unseal(&v, &secrets_a, record_bytes, 3, &plain), EKEYREJECTED);
        for (size_t at = 0; at < n; at++) {
                record_bytes[at] ^= 1;
                assert_error(vault_unseal(&v, &secrets_a, record_bytes, n, &plain), EKEYREJECTED);
                record_bytes[at] ^= 1;
        }
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(folder), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(vault),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
