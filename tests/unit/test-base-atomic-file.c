/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "atomic-file.h"
#include "fd.h"

static char folder[] = "/tmp/cvmspawn-test-XXXXXX";

static void assert_content(const char *path, const char *expected) {
        char *text;
        size_t n;

        assert_ok(file_read_all(path, 100, &text, &n));
        assert_string_equal(text, expected);
        free(text);
}

static unsigned count_files(void) {
        char command[64];
        unsigned n = 0;
        FILE *f;

        assert_true(snprintf(command, sizeof(command), "ls -A %s | wc -l", folder) > 0);
        f = popen(command, "r");
        assert_non_null(f);
        assert_int_equal(fscanf(f, "%u", &n), 1);
        pclose(f);
        return n;
}

static void replaces_or_refuses(_unused_ void **state) {
        char path[64];
        struct stat st;

        assert_true(snprintf(path, sizeof(path), "%s/key", folder) > 0);
        assert_ok(file_write_atomic(path, "one", 3, 0600, ATOMIC_FILE_EXACT_MODE));
        assert_error(file_write_atomic(path, "two", 3, 0600, 0), EEXIST);
        assert_content(path, "one");
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(st.st_nlink, 1);
        assert_ok(file_write_atomic(path, "three", 5, 0640, ATOMIC_FILE_REPLACE));
        assert_content(path, "three");
        assert_int_equal(count_files(), 1); /* nothing temporary is left */
        assert_int_equal(unlink(path), 0);
}

static void does_not_follow_links_to_keys(_unused_ void **state) {
        char path[64], target[64];

        assert_true(snprintf(path, sizeof(path), "%s/link", folder) > 0);
        assert_true(snprintf(target, sizeof(target), "%s/elsewhere", folder) > 0);
        assert_int_equal(symlink(target, path), 0);
        assert_error(file_write_atomic(path, "one", 3, 0600, 0), EEXIST);
        assert_int_equal(access(target, F_OK), -1);
        assert_int_equal(unlink(path), 0);
}

static void pipes_and_failures(_unused_ void **state) {
        char path[64], buf[8] = {};
        int fds[2];

        assert_int_equal(pipe(fds), 0);
        assert_true(snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[1]) > 0);
        assert_ok(file_write_atomic(path, "hello", 5, 0600, ATOMIC_FILE_REPLACE));
        assert_int_equal(read(fds[0], buf, sizeof(buf)), 5);
        assert_string_equal(buf, "hello");
        close(fds[0]);
        close(fds[1]);

        assert_true(snprintf(path, sizeof(path), "%s/none/file", folder) > 0);
        assert_error(file_write_atomic(path, "x", 1, 0600, ATOMIC_FILE_REPLACE), ENOENT);
        assert_error(file_write_atomic(folder, "x", 1, 0600, ATOMIC_FILE_REPLACE), EISDIR);
        assert_int_equal(count_files(), 0);
}

static void all_or_none(_unused_ void **state) {
        char one[64], two[64], none[64];
        size_t failed = 99;

        assert_true(snprintf(one, sizeof(one), "%s/one", folder) > 0);
        assert_true(snprintf(two, sizeof(two), "%s/two", folder) > 0);
        assert_true(snprintf(none, sizeof(none), "%s/none/file", folder) > 0);
        const AtomicFile both[] = { { one, "1", 1, 0600 }, { two, "22", 2, 0600 } },
                         lost[] = { { one, "new", 3, 0600 }, { none, "x", 1, 0600 } },
                         last[] = { { two, "new", 3, 0600 }, { one, "new", 3, 0600 } };

        assert_error(files_write_atomic(lost, 2, 0, &failed), ENOENT);
        assert_int_equal(failed, 1);
        assert_int_equal(count_files(), 0);
        assert_ok(files_write_atomic(both, 2, 0, NULL));
        assert_content(one, "1");
        assert_content(two, "22");
        /* What was there stays as it was. */
        assert_error(files_write_atomic(lost, 2, ATOMIC_FILE_REPLACE, &failed), ENOENT);
        assert_content(one, "1");
        assert_int_equal(unlink(two), 0);
        assert_error(files_write_atomic(last, 2, 0, &failed), EEXIST);
        assert_int_equal(failed, 1);
        assert_int_equal(access(two, F_OK), -1);
        assert_int_equal(count_files(), 1);
        assert_ok(files_write_atomic(last, 2, ATOMIC_FILE_REPLACE, NULL));
        assert_content(one, "new");
        assert_int_equal(unlink(one), 0);
        assert_int_equal(unlink(two), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(replaces_or_refuses),
                cmocka_unit_test(does_not_follow_links_to_keys),
                cmocka_unit_test(pipes_and_failures),
                cmocka_unit_test(all_or_none),
        };
        int r;

        if (!mkdtemp(folder))
                return 1;
        r = cmocka_run_group_tests_name("base: atomic files", tests, NULL, NULL);
        (void) rmdir(folder);
        return r;
}
