/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "input.h"

static void close_keeps_errno(_unused_ void **state) {
        errno = EXDEV;
        assert_int_equal(fd_close(-EBADF), -EBADF);
        assert_int_equal(fd_close(999), -EBADF); /* close() fails in it */
        assert_int_equal(errno, EXDEV);
}

static void regular_files_only(_unused_ void **state) {
        char template[] = "/tmp/cvmspawn-test-XXXXXX", path[64];
        uint64_t size;
        int fd;

        assert_non_null(mkdtemp(template));
        (void) snprintf(path, sizeof(path), "%s/fifo", template);
        assert_ok(mkfifo(path, 0600));
        assert_error(fd_open_regular(path, &size), EINVAL); /* and does not hang */
        assert_ok(unlink(path));
        assert_error(fd_open_regular(path, &size), ENOENT);
        assert_error(fd_open_regular(template, &size), EISDIR);
        assert_error(fd_open_regular("/dev/null", &size), EINVAL);
        fd = fd_open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_ok(fd);
        assert_ok(fd_write_all(fd, "12345", 5));
        (void) fd_close(fd);
        fd = fd_open_regular(path, &size);
        assert_ok(fd);
        assert_int_equal(size, 5);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        (void) fd_close(fd);
        assert_ok(unlink(path));
        assert_ok(rmdir(template));
}

static void exact_reads(_unused_ void **state) {
        _cleanup_close_ int fd = memfd_new("test");
        char buf[8] = "";

        assert_ok(fd);
        assert_ok(fd_write_all(fd, "abcdef", 6));
        assert_ok(fd_pread_exact(fd, buf, 3, 3));
        assert_memory_equal(buf, "def", 3);
        assert_error(fd_pread_exact(fd, buf, 4, 3), ENODATA);
        assert_ok(fd_pread_exact(fd, buf, 0, 100));
        assert_ok((int) lseek(fd, 0, SEEK_SET));
        assert_ok(fd_read_exact(fd, buf, 6));
        assert_error(fd_read_exact(fd, buf, 1), ENODATA);
        assert_error(fd_read_exact(-1, buf, 1), EBADF);
}

/* Sizes around the growth of the buffer, and the limit to the byte. */
static void whole_files(_unused_ void **state) {
        static const size_t sizes[] = { 0, 1, 4094, 4095, 4096, 4097, 8191, 8192, 100000 };

        FOREACH_ARRAY(n, sizes, ELEMENTSOF(sizes)) {
                _cleanup_close_ int fd = memfd_new("test");
                _cleanup_free_ char *bytes = calloc(1, *n + 1), *text = NULL;
                size_t size;

                assert_non_null(bytes);
                memset(bytes, 'x', *n);
                assert_ok(fd_write_all(fd, bytes, *n));
                assert_ok((int) lseek(fd, 0, SEEK_SET));
                assert_ok(fd_read_all(fd, *n, &text, &size));
                assert_int_equal(size, *n);
                assert_string_equal(text, bytes);
                if (*n == 0)
                        continue;
                assert_ok((int) lseek(fd, 0, SEEK_SET));
                assert_error(fd_read_all(fd, *n - 1, &text, &size), E2BIG);
        }
        assert_error(file_read_all("/no/such/file", 1, NULL, NULL), ENOENT);
}

/* What never ends is given up early, whatever the caller would take; what is only unknown in size is not. */
static void endless_devices(_unused_ void **state) {
        _cleanup_close_ int zero = fd_open("/dev/zero", O_RDONLY, 0), file = memfd_new("test");
        int pipes[2];

        assert_true(zero >= 0 && file >= 0);
        assert_int_equal(pipe(pipes), 0);
        assert_int_equal(fd_read_limit(zero, UINT64_C(1) << 40), 1024 * 1024);
        assert_int_equal(fd_read_limit(zero, 16), 16);
        assert_true(fd_read_limit(file, UINT64_C(1) << 40) == UINT64_C(1) << 40);
        assert_true(fd_read_limit(pipes[0], UINT64_C(1) << 40) == UINT64_C(1) << 40);
        assert_error(file_read_all("/dev/zero", SIZE_MAX / 2, NULL, NULL), E2BIG);
        (void) close(pipes[0]);
        (void) close(pipes[1]);
}

static void named_files_say_why_not(_unused_ void **state) {
        static const struct {
                const char *option, *path, *sentence;
        } cases[] = {
                { "leaf", "/nowhere/x", "--leaf: cannot read '/nowhere/x': No such file or directory" },
                { NULL, "/dev/zero", "cannot read '/dev/zero': it has more than 16 bytes" },
                { "ca", "/", "--ca: cannot read '/': Is a directory" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_(secret_buf_done) SecretBuf secret = {};
                _cleanup_free_ char *data = NULL, *error = NULL, *again = NULL;
                size_t n;

                assert_true(input_read(c->option, c->path, 16, &data, &n, &error) < 0);
                assert_string_equal(error, c->sentence);
                assert_true(input_read_secret(c->option, c->path, 16, &secret, &again) < 0);
                assert_string_equal(again, c->sentence);
        }
}

/* In a child: opens a pipe for writing after a while, and writes what is given. */
static void write_later(const char *path, unsigned usec, const char *text) {
        pid_t pid = fork();
        int fd;

        assert_true(pid >= 0);
        if (pid > 0)
                return;
        (void) usleep(usec);
        fd = fd_open(path, O_WRONLY, 0);
        (void) usleep(usec);
        _exit(fd < 0 || fd_write_all(fd, text, strlen(text)) < 0);
}

static void named_pipes_need_a_writer(_unused_ void **state) {
        static const char *const texts[] = { "late", "" };
        char template[] = "/tmp/cvmspawn-test-XXXXXX", path[64], *text;
        size_t n;
        int status;

        assert_non_null(mkdtemp(template));
        (void) snprintf(path, sizeof(path), "%s/fifo", template);
        assert_ok(mkfifo(path, 0600));
        assert_error(fd_open_read(path, 50000), ETIMEDOUT);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                write_later(path, 200000, texts[i]);
                assert_ok(file_read_all(path, 100, &text, &n));
                assert_string_equal(text, texts[i]);
                free(text);
                assert_true(wait(&status) > 0);
                assert_int_equal(status, 0);
        }
        assert_ok(unlink(path));
        assert_ok(rmdir(template));
        assert_ok(file_read_all("/dev/null", 100, &text, &n));
        free(text);
        assert_error(fd_open_read(path, 0), ENOENT);
}

static void folders_are_made_whole(_unused_ void **state) {
        char base[] = "/tmp/test-base-fd-XXXXXX", path[128];
        struct stat st;

        assert_non_null(mkdtemp(base));
        (void) snprintf(path, sizeof(path), "%s/a//b/c/", base);
        assert_ok(make_directories(path));
        assert_ok(make_directories(path));
        assert_int_equal(stat(path, &st), 0);
        assert_true(S_ISDIR(st.st_mode));
        assert_error(make_directories(""), ENOENT);
        assert_error(make_directories("/dev/null/x"), ENOTDIR);
        for (const char *const *p = (const char *const[]) { "a/b/c", "a/b", "a", "", NULL }; *p; p++) {
                (void) snprintf(path, sizeof(path), "%s/%s", base, *p);
                assert_int_equal(rmdir(path), 0);
        }
}

static void sealed_is_final(_unused_ void **state) {
        _cleanup_close_ int fd = memfd_new_sealed("test", "abc", 3), again = -EBADF;
        char path[64], buf[3];

        assert_ok(fd);
        assert_ok(fd_pread_exact(fd, buf, 3, 0));
        assert_memory_equal(buf, "abc", 3);
        assert_error(pwrite(fd, "x", 1, 0) < 0 ? -errno : 0, EPERM);
        assert_error(ftruncate(fd, 0) < 0 ? -errno : 0, EPERM);
        assert_error(ftruncate(fd, 10) < 0 ? -errno : 0, EPERM);
        assert_error(memfd_seal(fd), EPERM); /* the seals themselves are sealed */
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        again = fd_open(path, O_RDWR, 0);
        assert_true(again < 0 || pwrite(again, "x", 1, 0) < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(close_keeps_errno),
                cmocka_unit_test(regular_files_only),
                cmocka_unit_test(exact_reads),
                cmocka_unit_test(whole_files),
                cmocka_unit_test(endless_devices),
                cmocka_unit_test(named_files_say_why_not),
                cmocka_unit_test(named_pipes_need_a_writer),
                cmocka_unit_test(folders_are_made_whole),
                cmocka_unit_test(sealed_is_final),
        };

        (void) alarm(60);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
