/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "process.h"
#include "strutil.h"

#define SECOND UINT64_C(1000000)

/* Runs a shell script with its output in a pipe; the text is owned. */
static char *shell(const char *script, const int *keep, size_t n_keep) {
        const char *argv[] = { "sh", "-c", script, NULL };
        char *text = NULL;
        Process p = PROCESS_NONE;
        siginfo_t si;
        int out[2];

        assert_ok(pipe2(out, O_CLOEXEC));
        const ProcessSpec spec = {
                .file = "sh",
                .argv = (char *const *) argv,
                .stdin_fd = -EBADF,
                .stdout_fd = out[1],
                .stderr_fd = -EBADF,
                .keep_fds = keep,
                .n_keep_fds = n_keep,
        };
        assert_ok(process_spawn(&spec, &p, NULL));
        (void) fd_close(out[1]);
        assert_ok(fd_read_all(out[0], 65536, &text, NULL));
        (void) fd_close(out[0]);
        assert_ok(process_wait(&p, 60 * SECOND, &si));
        assert_int_equal(si.si_code, CLD_EXITED);
        assert_int_equal(si.si_status, 0);
        return text;
}

/* Whatever is open here, with or without close-on-exec, only what was named reaches the child. */
static void no_descriptor_leaks(_unused_ void **state) {
        _cleanup_close_ int with = fd_open("/dev/null", O_RDONLY, 0),
                            kept = fd_open("/dev/zero", O_RDONLY, 0);
        _cleanup_close_ int without = open("/dev/null", O_RDONLY);
        _cleanup_free_ char *text = NULL, *expected = NULL;

        assert_ok(with);
        assert_ok(kept);
        assert_ok(without);
        /* The shell itself lists its directory of descriptors: no other program's own ones are in the way. */
        text = shell("for f in /proc/$$/fd/*; do [ -e \"$f\" ] && printf '%s ' \"${f##*/}\"; done", &kept,
                        1);
        assert_true(asprintf(&expected, "0 1 2 %d ", kept) > 0);
        assert_string_equal(text, expected);
}

static void standard_input_is_null(_unused_ void **state) {
        _cleanup_free_ char *text = shell("readlink /proc/$$/fd/0", NULL, 0);

        assert_string_equal(text, "/dev/null\n");
}

static void signals_are_reset(_unused_ void **state) {
        _cleanup_free_ char *text = NULL;
        sigset_t set, old;

        assert_ok(sigemptyset(&set));
        assert_ok(sigaddset(&set, SIGUSR2));
        assert_ok(sigprocmask(SIG_BLOCK, &set, &old));
        assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
        /* Built-ins only: some shells block signals while they start a program. */
        text = shell("while read -r l; do case $l in SigBlk*|SigIgn*) echo $l ;; esac; done "
                     "</proc/$$/status",
                        NULL, 0);
        assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
        assert_ok(sigprocmask(SIG_SETMASK, &old, NULL));
        assert_string_equal(text, "SigBlk: 0000000000000000\nSigIgn: 0000000000000000\n");
}

static int refuse(_unused_ void *userdata) {
        return -EXDEV;
}

static void exec_errors(_unused_ void **state) {
        const char *argv[] = { "x", NULL };
        ProcessSpec spec = {
                .file = "/no/such/program",
                .argv = (char *const *) argv,
                .stdin_fd = -EBADF,
                .stdout_fd = -EBADF,
                .stderr_fd = -EBADF,
        };
        _cleanup_free_ char *missing = NULL, *directory = NULL, *prepared = NULL;
        Process p = PROCESS_NONE;
        int closed = 999;

        assert_error(process_spawn(&spec, &p, &missing), ENOENT);
        assert_string_equal(missing, "cannot start '/no/such/program': No such file or directory");
        spec.file = "/dev";
        assert_error(process_spawn(&spec, &p, &directory), EACCES);
        assert_non_null(directory);
        spec.file = "true";
        spec.prepare = refuse;
        assert_error(process_spawn(&spec, &p, &prepared), EXDEV);
        spec.prepare = NULL;
        spec.keep_fds = &closed;
        spec.n_keep_fds = 1;
        assert_error(process_spawn(&spec, &p, NULL), EBADF);
        assert_int_equal(p.pid, 0);
        assert_true(p.pidfd < 0);
        /* Nothing was left behind unreaped. */
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

static int write_end = -EBADF;

/* Starts a child that holds the pipe open, says that it runs, and waits to be killed. */
static int parent_main(_unused_ void *userdata) {
        const char *argv[] = { "sleep", "1000", NULL };
        const ProcessSpec spec = {
                .file = "sleep",
                .argv = (char *const *) argv,
                .stdin_fd = -EBADF,
                .stdout_fd = write_end,
                .stderr_fd = -EBADF,
        };
        Process p = PROCESS_NONE;

        if (process_spawn(&spec, &p, NULL) < 0 || fd_write_all(write_end, "x", 1) < 0)
                return 1;
        (void) pause();
        return 0;
}

static void dies_with_parent(_unused_ void **state) {
        Process parent = PROCESS_NONE;
        struct pollfd pfd;
        int fds[2];
        char ch;

        assert_ok(pipe2(fds, O_CLOEXEC));
        write_end = fds[1];
        assert_ok(process_fork(parent_main, NULL, &parent));
        (void) fd_close(fds[1]);
        assert_ok(fd_read_exact(fds[0], &ch, 1));

        pfd = (struct pollfd) { .fd = fds[0], .events = POLLIN };
        assert_int_equal(poll(&pfd, 1, 0), 0); /* both are alive */
        assert_ok(process_signal(&parent, SIGKILL));
        assert_ok(process_wait(&parent, 60 * SECOND, NULL));
        /* The end of the pipe: the last holder, the grandchild, is gone too. */
        assert_int_equal(poll(&pfd, 1, 60000), 1);
        assert_error(fd_read_exact(fds[0], &ch, 1), ENODATA);
        (void) fd_close(fds[0]);
}

static int stubborn_main(void *userdata) {
        const int *fd = userdata;

        (void) signal(SIGTERM, SIG_IGN);
        if (fd_write_all(*fd, "x", 1) < 0)
                return 1;
        for (;;)
                (void) pause();
}

static void done_kills_the_stubborn(_unused_ void **state) {
        Process p = PROCESS_NONE;
        int fds[2];
        pid_t pid;
        char ch;

        assert_ok(pipe2(fds, O_CLOEXEC));
        assert_ok(process_fork(stubborn_main, &fds[1], &p));
        pid = p.pid;
        assert_ok(fd_read_exact(fds[0], &ch, 1));
        assert_error(process_wait(&p, 1000, NULL), ETIMEDOUT);
        process_done(&p);
        assert_int_equal(p.pid, 0);
        assert_error(kill(pid, 0) < 0 ? -errno : 0, ESRCH);
        process_done(&p); /* an empty handle is fine */
        assert_error(process_signal(&p, SIGTERM), ESRCH);
        assert_error(process_wait(&p, 0, NULL), ESRCH);
        (void) fd_close(fds[0]);
        (void) fd_close(fds[1]);
}

static int status_main(_unused_ void *userdata) {
        return 42;
}

static void status_is_told(_unused_ void **state) {
        Process p = PROCESS_NONE;
        siginfo_t si;

        assert_ok(process_fork(status_main, NULL, &p));
        assert_ok(process_wait(&p, UINT64_MAX, &si));
        assert_int_equal(si.si_code, CLD_EXITED);
        assert_int_equal(si.si_status, 42);
}

static void programs_are_found(_unused_ void **state) {
        _cleanup_free_ char *found = NULL, *before = strdup(getenv("PATH") ?: "/usr/bin:/bin");

        /* Relative directories do not count: they would be looked up in whatever directory this is. */
        assert_ok(setenv("PATH", ".:/nonexistent:/bin", 1));
        assert_ok(process_find_program("sh", &found));
        assert_string_equal(found, "/bin/sh");
        free(TAKE_PTR(found));
        assert_ok(process_find_program("no-such-program", &found));
        assert_null(found);
        assert_ok(setenv("PATH", before, 1));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_descriptor_leaks),
                cmocka_unit_test(standard_input_is_null),
                cmocka_unit_test(signals_are_reset),
                cmocka_unit_test(exec_errors),
                cmocka_unit_test(dies_with_parent),
                cmocka_unit_test(done_kills_the_stubborn),
                cmocka_unit_test(status_is_told),
                cmocka_unit_test(programs_are_found),
        };

        (void) alarm(120);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
