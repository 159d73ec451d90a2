/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "loop.h"
#include "process.h"

static int fails(_unused_ LoopSource *s, _unused_ void *userdata) {
        return -EBADMSG;
}

static void handler_error_ends_run(_unused_ void **state) {
        _cleanup_(loop_unrefp) Loop *loop = NULL;
        _cleanup_(loop_source_unrefp) LoopSource *s = NULL;
        int code;

        assert_ok(loop_new(&loop));
        assert_ok(loop_add_defer(loop, fails, NULL, &s));
        assert_error(loop_exit_code(loop, &code), ENODATA);
        assert_error(loop_run(loop), EBADMSG);
}

static int io_fails(
                _unused_ LoopSource *s, _unused_ int fd, _unused_ uint32_t events, _unused_ void *userdata) {
        return -EXDEV;
}

static int timer_exits(LoopSource *s, _unused_ uint64_t usec, _unused_ void *userdata) {
        Loop **l = userdata;

        (void) s;
        return loop_exit(*l, 7);
}

static void io_error_seen_by_exit_code(_unused_ void **state) {
        _cleanup_(loop_unrefp) Loop *loop = NULL;
        _cleanup_(loop_source_unrefp) LoopSource *s = NULL;
        _cleanup_close_ int a = -EBADF, b = -EBADF;
        int fds[2], code;

        assert_ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
        a = fds[0];
        b = fds[1];
        assert_ok(loop_new(&loop));
        assert_ok(loop_add_io(loop, a, EPOLLIN, io_fails, NULL, &s));
        assert_int_equal(loop_once(loop, 0), 0);
        assert_ok(fd_write_all(b, "x", 1));
        assert_int_equal(loop_once(loop, 1000000), 1);
        assert_ok(loop_exit_code(loop, &code));
        assert_int_equal(code, -EXDEV);
}

static void timer_and_exit(_unused_ void **state) {
        _cleanup_(loop_unrefp) Loop *loop = NULL;
        _cleanup_(loop_source_unrefp) LoopSource *s = NULL;

        assert_ok(loop_new(&loop));
        assert_ok(loop_add_timer(loop, 1000, timer_exits, &loop, &s));
        assert_int_equal(loop_run(loop), 7);
}

typedef struct ChildSeen {
        Loop *loop;
        int status, code;
} ChildSeen;

static int child_seen(_unused_ LoopSource *s, const siginfo_t *si, void *userdata) {
        ChildSeen *seen = userdata;

        seen->status = si->si_status;
        seen->code = si->si_code;
        return loop_exit(seen->loop, 0);
}

static int child_main(_unused_ void *userdata) {
        return 42;
}

static void child_is_watched_and_reaped(_unused_ void **state) {
        _cleanup_(loop_unrefp) Loop *loop = NULL;
        _cleanup_(loop_source_unrefp) LoopSource *s = NULL;
        ChildSeen seen = {};
        Process p = PROCESS_NONE;
        pid_t pid;

        assert_ok(loop_new(&loop));
        seen.loop = loop;
        assert_ok(process_fork(child_main, NULL, &p));
        pid = p.pid;
        assert_ok(loop_add_child(loop, p.pidfd, child_seen, &seen, &s));
        assert_int_equal(loop_run(loop), 0);
        assert_int_equal(seen.code, CLD_EXITED);
        assert_int_equal(seen.status, 42);
        s = loop_source_unref(s);
        process_forget(&p);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

/* epoll_ctl(2) fails: an error, and no assertion in sd-event. */
static void child_that_cannot_be_watched(_unused_ void **state) {
        _cleanup_(loop_unrefp) Loop *loop = NULL;
        _cleanup_(loop_source_unrefp) LoopSource *first = NULL, *s = NULL;
        ChildSeen seen = {};
        Process p = PROCESS_NONE;

        assert_ok(loop_new(&loop));
        seen.loop = loop;
        assert_ok(process_fork(child_main, NULL, &p));
        assert_ok(loop_add_io(loop, p.pidfd, EPOLLIN, io_fails, NULL, &first));
        assert_error(loop_add_child(loop, p.pidfd, child_seen, &seen, &s), EEXIST);
        assert_null(s);
        first = loop_source_unref(first);
        assert_ok(loop_add_child(loop, p.pidfd, child_seen, &seen, &s));
        assert_int_equal(loop_run(loop), 0);
        assert_int_equal(seen.status, 42);
        process_forget(&p);
}

static int signal_seen(_unused_ LoopSource *s, const struct signalfd_siginfo *si, void *userdata) {
        ChildSeen *seen = userdata;

        return loop_exit(seen->loop, (int) si->ssi_signo);
}

static void signal_is_handled(_unused_ void **state) {
        _cleanup_(loop_unrefp) Loop *loop = NULL;
        _cleanup_(loop_source_unrefp) LoopSource *s = NULL;
        ChildSeen seen = {};

        assert_ok(loop_new(&loop));
        seen.loop = loop;
        assert_ok(loop_add_signal(loop, SIGUSR1, signal_seen, &seen, &s));
        assert_ok(kill(getpid(), SIGUSR1));
        assert_int_equal(loop_run(loop), SIGUSR1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(handler_error_ends_run),
                cmocka_unit_test(io_error_seen_by_exit_code),
                cmocka_unit_test(timer_and_exit),
                cmocka_unit_test(child_is_watched_and_reaped),
                cmocka_unit_test(child_that_cannot_be_watched),
                cmocka_unit_test(signal_is_handled),
        };

        (void) alarm(60); /* a loop that never ends is a failure, not a hang */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
