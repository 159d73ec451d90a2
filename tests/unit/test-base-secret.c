/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "credential.h"
#include "fd.h"
#include "secret.h"
#include "strutil.h"

static void alloc_and_shrink(_unused_ void **state) {
        SecretBuf s, empty = {};

        assert_ok(secret_buf_alloc(&s, 0));
        assert_null(s.data);
        secret_buf_done(&s);
        secret_buf_done(&empty);

        assert_ok(secret_buf_copy(&s, "0123456789", 10));
        secret_buf_shrink(&s, 4);
        assert_int_equal(s.size, 4);
        assert_memory_equal(s.data, "0123\0\0\0\0\0\0", 10); /* what was given up is erased */
        secret_buf_done(&s);
        assert_null(s.data);
        assert_error(secret_buf_alloc(&s, SIZE_MAX), ENOMEM);
}

/* The pages are marked to stay out of core dumps ("dd" in smaps). */
static void not_in_core_dumps(_unused_ void **state) {
        _cleanup_free_ char *smaps = NULL;
        char begin[40];
        SecretBuf s;
        const char *p;

        assert_ok(secret_buf_alloc(&s, 100));
        (void) snprintf(begin, sizeof(begin), "%lx-", (unsigned long) (uintptr_t) s.data);
        assert_ok(file_read_all("/proc/self/smaps", (size_t) 16 * 1024 * 1024, &smaps, NULL));
        p = strstr(smaps, begin);
        assert_non_null(p);
        p = strstr(p, "VmFlags:");
        assert_non_null(p);
        assert_non_null(memmem(p, strcspn(p, "\n"), " dd", 3));
        secret_buf_done(&s);
}

static void reads_descriptors(_unused_ void **state) {
        static const size_t sizes[] = { 0, 1, 16384, 16385, 100000 };

        FOREACH_ARRAY(n, sizes, ELEMENTSOF(sizes)) {
                _cleanup_close_ int fd = memfd_new("test");
                _cleanup_free_ char *bytes = calloc(1, *n + 1);
                SecretBuf s = {};

                assert_non_null(bytes);
                for (size_t i = 0; i < *n; i++)
                        bytes[i] = (char) (i * 7);
                assert_ok(fd_write_all(fd, bytes, *n));
                assert_ok((int) lseek(fd, 0, SEEK_SET));
                assert_ok(secret_buf_read_fd(&s, fd, *n));
                assert_int_equal(s.size, *n);
                if (*n == 0) {
                        assert_null(s.data);
                        continue;
                }
                assert_memory_equal(s.data, bytes, *n);
                secret_buf_done(&s);
                assert_ok((int) lseek(fd, 0, SEEK_SET));
                assert_error(secret_buf_read_fd(&s, fd, *n - 1), E2BIG);
                assert_null(s.data);
        }
}

static void comparison(_unused_ void **state) {
        assert_true(constant_time_equal("abc", "abd", 2));
        assert_false(constant_time_equal("abc", "abd", 3));
        assert_false(constant_time_equal("\x80", "\x00", 1));
        assert_true(constant_time_equal(NULL, NULL, 0));
}

static int add(CredentialSet *set, const char *id, size_t size, char **reterr) {
        SecretBuf s;
        int r;

        assert_ok(secret_buf_alloc(&s, size));
        r = credential_set_add(set, id, &s, reterr);
        if (r >= 0)
                assert_null(s.data); /* taken */
        secret_buf_done(&s);
        return r;
}

static void names(_unused_ void **state) {
        static const char *const good[] = { "a", "foo.bar_baz-1", "a b", "~", "..." };
        static const char *const bad[] = { "", ".", "..", "a/b", "a:b", "a\n", "\xc3\xa4", "a\x7f" };

        FOREACH_ARRAY(id, good, ELEMENTSOF(good))
                assert_true(credential_name_valid(*id));
        FOREACH_ARRAY(id, bad, ELEMENTSOF(bad)) {
                _cleanup_(credential_set_done) CredentialSet set = {};
                _cleanup_free_ char *why = NULL;

                assert_false(credential_name_valid(*id));
                assert_error(add(&set, *id, 1, &why), EINVAL);
                assert_non_null(why);
        }
}

/* What the guest would lose in silence is refused here, at the limit to the byte. */
static void limits(_unused_ void **state) {
        _cleanup_(credential_set_done) CredentialSet set = {};
        _cleanup_free_ char *dot = NULL, *twice = NULL, *large = NULL, *lengthy = NULL;
        char id[300];

        memset(id, 'x', sizeof(id));
        id[CREDENTIAL_NAME_MAX] = 0;
        assert_ok(add(&set, id, 0, NULL));
        id[CREDENTIAL_NAME_MAX] = 'x';
        id[CREDENTIAL_NAME_MAX + 1] = 0;
        assert_error(add(&set, id, 0, &lengthy), ENAMETOOLONG);
        assert_error(add(&set, ".hidden", 1, &dot), EINVAL);
        assert_non_null(strstr(dot, "begins with a dot"));
        assert_ok(add(&set, "twice", 1, NULL));
        assert_error(add(&set, "twice", 1, &twice), EEXIST);
        assert_string_equal(twice, "duplicate credential 'twice'");
        assert_ok(add(&set, "max", CREDENTIAL_SIZE_MAX, NULL));
        assert_error(add(&set, "more", CREDENTIAL_SIZE_MAX + 1, &large), E2BIG);
        assert_int_equal(set.n_items, 3);
        assert_ptr_equal(credential_set_find(&set, "max"), &set.items[2]);
        assert_null(credential_set_find(&set, "more"));
}

static int check_many(size_t n, size_t size, char **reterr) {
        _cleanup_(credential_set_done) CredentialSet set = {};

        for (size_t i = 0; i < n; i++) {
                char id[32];

                (void) snprintf(id, sizeof(id), "c%zu", i);
                assert_ok(add(&set, id, size, NULL));
        }
        return credential_set_check(&set, reterr);
}

static void whole_sets(_unused_ void **state) {
        _cleanup_free_ char *total = NULL, *pages = NULL, *inodes = NULL;

        assert_ok(check_many(1, CREDENTIAL_SIZE_MAX, NULL));
        assert_error(check_many(2, CREDENTIALS_TOTAL_MAX / 2 + 1, &total), E2BIG);
        assert_non_null(strstr(total, "in total"));
        assert_ok(check_many(256, 1, NULL)); /* one page each */
        assert_error(check_many(257, 1, &pages), E2BIG);
        assert_non_null(strstr(pages, "257 pages"));
        assert_ok(check_many(1023, 0, NULL));
        assert_error(check_many(1024, 0, &inodes), E2BIG);
        assert_non_null(strstr(inodes, "1023 files"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(alloc_and_shrink),
                cmocka_unit_test(not_in_core_dumps),
                cmocka_unit_test(reads_descriptors),
                cmocka_unit_test(comparison),
                cmocka_unit_test(names),
                cmocka_unit_test(limits),
                cmocka_unit_test(whole_sets),
        };

        (void) alarm(60);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
