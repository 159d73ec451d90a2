/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The launcher as it is once the guest runs, in a child that tries to get out of it in every way that it has a name for. */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"
#include "fd.h"
#include "run-confine.h"
#include "test.h"

#define FINE    0
#define SKIPPED 77

static int confine_self(const QemuUser *user) {
        ConfineFilter *filter = NULL;
        int r = run_confine_prepare(&filter);

        return r < 0 ? r : run_confine_self(user, filter, -EBADF, -EBADF);
}

static int in_child(int (*f)(void)) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                /* Not by _exit(): the address sanitizer would make calls there that are forbidden by then. */
                (void) syscall(SYS_exit_group, f());
                _exit(99);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static bool denied(long r) {
        return r < 0 && (errno == EPERM || errno == EACCES);
}

/* What is open and what the event loop does go on working: a confinement that breaks the launcher is none. */
static int still_works(int pair[static 2]) {
        char c = 'x';

        if (write(pair[0], &c, 1) != 1 || read(pair[1], &c, 1) != 1)
                return 10;
        if (kill(getpid(), 0) < 0)
                return 11;
        return FINE;
}

static int files_and_programs(void) {
        const QemuUser user = {};
        int pair[2], r = confine_self(&user);

        if (r == -EOPNOTSUPP)
                return SKIPPED;
        if (r < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) >= 0)
                return 1;
        if (!denied(open("/etc/passwd", O_RDONLY)) || !denied(openat(AT_FDCWD, "/dev/null", O_RDWR)))
                return 2;
        if (!denied(open("/tmp/cvmspawn-confine", O_RDWR | O_CREAT, 0600)) || !denied(unlink("/etc/passwd")))
                return 3;
        if (!denied(execl("/bin/sh", "sh", "-c", "true", NULL)) || !denied(fork()) || !denied(vfork()))
                return 4;
        return FINE;
}

static int network_and_kernel(void) {
        const struct sockaddr_un nobody = { .sun_family = AF_UNIX, .sun_path = "/nowhere" };
        const QemuUser user = {};
        int pair[2], fd, r;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return 1;
        r = confine_self(&user);
        if (r < 0 && r != -EOPNOTSUPP)
                return 2;
        if (!denied(socket(AF_INET, SOCK_STREAM, 0)) || !denied(socket(AF_INET6, SOCK_DGRAM, 0)) ||
                        !denied(socket(AF_NETLINK, SOCK_RAW, 0)) ||
                        !denied(socket(AF_VSOCK, SOCK_STREAM, 0)))
                return 3;
        /* The service manager's socket: what cannot be reached is not there, rather than forbidden. */
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *) &nobody, sizeof(nobody)) >= 0)
                return 4;
        if (!denied(mount("none", "/mnt", "tmpfs", 0, NULL)) || !denied(ptrace(PTRACE_TRACEME, 0, 0, 0)))
                return 5;
        if (!denied(unshare(CLONE_NEWUSER)) || !denied(setuid(0)) || !denied(chroot("/")))
                return 6;
        if (!denied(memfd_create("x", 0)))
                return 7;
        return still_works(pair);
}

static int memory(void) {
        const QemuUser user = {};
        char here[1] = {}, there[1];
        const struct iovec mine = { .iov_base = here, .iov_len = 1 },
                           theirs = { .iov_base = there, .iov_len = 1 };
        pid_t parent = getppid();
        void *p;
        int r;

        r = confine_self(&user);
        if (r < 0 && r != -EOPNOTSUPP)
                return 1;
        if (!denied(process_vm_readv(parent, &mine, 1, &theirs, 1, 0)))
                return 2;
        r = confine_memory();
        p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
                return 3;
        /* prctl() is gone, too: only whether it worked before can be seen. */
        return r == -EPERM && mprotect(p, 4096, PROT_READ | PROT_EXEC) >= 0 ? SKIPPED : FINE;
}

/* With QEMU as another user one capability stays, and is good for signals only. */
static int one_capability(void) {
        const QemuUser user = { .change = true, .uid = 61184, .gid = 61184 };
        int r = confine_self(&user);

        if (r < 0 && r != -EOPNOTSUPP)
                return 1;
        if (kill(1, 0) < 0)
                return 2;
        return denied(chown("/dev/null", 1, 1)) && denied(setuid(1)) ? FINE : 3;
}

static int no_capability(void) {
        const QemuUser user = {};
        int r = confine_become_user(&(const ConfineUser) { .uid = 61184, .gid = 61184 });

        if (r < 0)
                return 1;
        r = confine_self(&user);
        if (r < 0 && r != -EOPNOTSUPP)
                return 2;
        return denied(kill(1, 0)) ? FINE : 3;
}

static void ends_fine(int (*f)(void), const char *without) {
        int status = in_child(f);

        if (status == SKIPPED) {
                print_message("%s\n", without);
                skip();
        }
        assert_int_equal(status, FINE);
}

static void no_files_and_programs(_unused_ void **state) {
        ends_fine(files_and_programs, "this kernel has no Landlock");
}

static void no_network_and_nothing_of_the_kernel(_unused_ void **state) {
        ends_fine(network_and_kernel, "");
}

static void no_foreign_memory_and_no_new_code(_unused_ void **state) {
        ends_fine(memory, "this kernel lets memory become executable (before 6.3)");
}

static void signals_only(_unused_ void **state) {
        if (geteuid() != 0) {
                print_message("without root there is no capability to keep\n");
                skip();
        }
        ends_fine(one_capability, "");
        ends_fine(no_capability, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_files_and_programs),
                cmocka_unit_test(no_network_and_nothing_of_the_kernel),
                cmocka_unit_test(no_foreign_memory_and_no_new_code),
                cmocka_unit_test(signals_only),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
