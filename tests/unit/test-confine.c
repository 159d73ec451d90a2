/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Each confinement is entered by a child, which then tries to break out. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#include "confine.h"
#include "fd.h"

#define SKIPPED 77

/* Runs f in a child: its exit status. */
static int in_child(int (*f)(void)) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(f());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static int break_out_of_files(void) {
        int fd = fd_open("/etc/passwd", O_RDONLY, 0), r;
        char c;

        if (fd < 0 || confine_no_new_privileges() < 0)
                return 1;
        r = confine_files();
        if (r == -EOPNOTSUPP)
                return SKIPPED;
        if (r < 0)
                return 2;
        if (read(fd, &c, 1) != 1)
                return 3; /* open descriptors go on working */
        if (fd_open("/etc/passwd", O_RDONLY, 0) != -EACCES)
                return 4;
        if (fd_open("/tmp/cvmspawn-confine-test", O_WRONLY | O_CREAT, 0600) != -EACCES)
                return 5;
        (void) execl("/bin/true", "true", NULL);
        if (errno != EACCES)
                return 6;
        return 0;
}

static char folder[] = "/tmp/test-confine.XXXXXX";

/* What is to be removed at the end can be, and nothing else. */
static int break_out_by_removal(void) {
        int base = fd_open(folder, O_PATH | O_DIRECTORY, 0), inner;

        if (base < 0 || mkdirat(base, "inner", 0755) < 0 || mkdirat(base, "full", 0755) < 0)
                return 1;
        inner = openat(base, "inner", O_PATH | O_DIRECTORY);
        if (inner < 0 || mknodat(inner, "file", S_IFREG | 0600, 0) < 0 ||
                        mknodat(base, "file", S_IFREG | 0600, 0) < 0 ||
                        mknodat(base, "full/file", S_IFREG | 0600, 0) < 0)
                return 2;
        if (confine_no_new_privileges() < 0)
                return 3;
        int r = confine_files_but_removal(inner, base);
        if (r == -EOPNOTSUPP)
                return SKIPPED;
        if (r < 0)
                return 4;
        if (unlinkat(base, "file", 0) == 0 || errno != EACCES || unlinkat(base, "full/file", 0) == 0)
                return 5;
        if (fd_open(folder, O_RDONLY, 0) != -EACCES || openat(inner, "file", O_RDONLY) >= 0)
                return 6;
        return unlinkat(inner, "file", 0) < 0 || unlinkat(base, "inner", AT_REMOVEDIR) < 0 ? 7 : 0;
}

static int break_out_of_paths(void) {
        static const ConfinePath nowhere[] = { { "/no/such/path", false } };
        const ConfinePath paths[] = { { folder, true }, { "/etc/passwd", false } };
        char inside[64];

        (void) snprintf(inside, sizeof(inside), "%s/file", folder);
        if (confine_no_new_privileges() < 0)
                return 1;
        if (confine_to_paths(nowhere, 1) != -ENOENT)
                return 2;
        if (confine_to_paths(paths, ELEMENTSOF(paths)) < 0)
                return 3;
        if (fd_open(inside, O_RDWR | O_CREAT, 0600) < 0 || fd_open("/etc/passwd", O_RDONLY, 0) < 0)
                return 4;
        if (fd_open("/etc/passwd", O_RDWR, 0) != -EACCES || fd_open("/etc/group", O_RDONLY, 0) != -EACCES)
                return 5;
        (void) execl("/bin/true", "true", NULL);
        if (errno != EACCES || unlink(inside) < 0)
                return 6;
        return rmdir(folder) == 0 ? 7 : 0; /* of /tmp it may not take anything away */
}

/* Files are gone, the network is not. */
static int break_out_to_network(void) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
            fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const ConfinePath paths[] = { { "/etc/passwd", false } };
        socklen_t n = sizeof(a);
        int r;

        if (bind(listener, (struct sockaddr *) &a, n) < 0 || listen(listener, 1) < 0 ||
                        getsockname(listener, (struct sockaddr *) &a, &n) < 0)
                return 1;
        r = confine_no_new_privileges();
        if (r >= 0)
                r = confine_files_to_paths(paths, ELEMENTSOF(paths));
        if (r < 0)
                return r == -EOPNOTSUPP ? SKIPPED : 2;
        if (fd_open("/etc/passwd", O_RDONLY, 0) < 0 || fd_open("/etc/group", O_RDONLY, 0) != -EACCES)
                return 3;
        return connect(fd, (struct sockaddr *) &a, n) < 0 ? 4 : 0;
}

static int break_out_of_memory(void) {
        int r = confine_memory();
        void *p;

        if (r == -EOPNOTSUPP)
                return SKIPPED;
        p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return r < 0 || p == MAP_FAILED || mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0;
}

static int break_out_of_system_calls(void) {
        static const char *const allowed[] = { "write", "exit_group", "no_such_call" };

        if (confine_no_new_privileges() < 0 || confine_system_calls(allowed, ELEMENTSOF(allowed)) < 0)
                return 1;
        if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EPERM)
                return 2;
        if (fork() >= 0 || errno != EPERM)
                return 3;
        if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EPERM)
                return 4;
        return 0;
}

static int break_out_of_capabilities(void) {
        static const char *const keep[] = { "cap_kill" };

        if (confine_capabilities(keep, ELEMENTSOF(keep)) < 0)
                return 1;
        if (chown("/dev/null", 1, 1) == 0 || errno != EPERM)
                return 2;
        if (setuid(1234) == 0)
                return 3;
        /* and without any */
        if (confine_capabilities(NULL, 0) < 0 || confine_has_capabilities())
                return 4;
        return 0;
}

static int become_somebody(void) {
        ConfineUser user;

        if (confine_find_user("no-such-user-of-cvmspawn", "no-such-group-of-cvmspawn", &user) < 0)
                return 1;
        if (user.uid < 61184 || user.uid > 65519 || user.gid != user.uid)
                return 2;
        if (confine_become_user(&user) < 0)
                return 3;
        if (geteuid() != user.uid || getegid() != user.gid || setuid(0) == 0 || confine_has_capabilities())
                return 4;
        return 0;
}

static int use_own_devices(void) {
        static const char *const paths[] = { "/dev/null", "/dev/no-such-device" };
        const ConfineUser user = { .uid = 61184, .gid = 61184 };
        int r = confine_private_devices(paths, ELEMENTSOF(paths), user.gid), fd;

        if (r == -EPERM || r == -EACCES)
                return SKIPPED;
        if (r < 0)
                return 1;
        if (confine_become_user(&user) < 0)
                return 2;
        fd = fd_open("/dev/null", O_RDWR, 0);
        return fd < 0 ? 3 : 0;
}

static void files_are_out_of_reach(_unused_ void **state) {
        int status = in_child(break_out_of_files);

        if (status == 0) {
                assert_non_null(mkdtemp(folder));
                status = in_child(break_out_of_paths);
                assert_int_equal(rmdir(folder), 0);
        }
        if (status == 0) {
                assert_int_equal(mkdir(folder, 0700), 0);
                status = in_child(break_out_by_removal);
                int base = fd_open(folder, O_PATH | O_DIRECTORY, 0);

                assert_int_equal(unlinkat(base, "file", 0), 0);
                assert_int_equal(unlinkat(base, "full/file", 0), 0);
                assert_int_equal(unlinkat(base, "full", AT_REMOVEDIR), 0);
                (void) close(base);
                assert_int_equal(rmdir(folder), 0);
        }
        if (status == SKIPPED) {
                print_message("this kernel has no Landlock, so the confinement to no files cannot be "
                              "tried\n");
                skip();
        }
        assert_int_equal(status, 0);
}

static void system_calls_are_refused(_unused_ void **state) {
#ifdef __SANITIZE_ADDRESS__
        print_message("the address sanitizer needs further system calls, so this confinement cannot be "
                      "tried with it\n");
        skip();
#endif
        assert_int_equal(in_child(break_out_of_system_calls), 0);
}

static void network_without_files(_unused_ void **state) {
        int status = in_child(break_out_to_network);

        if (status == SKIPPED) {
                print_message("this kernel has no Landlock, so the confinement to some files cannot be "
                              "tried\n");
                skip();
        }
        assert_int_equal(status, 0);
}

static void memory_stays_data(_unused_ void **state) {
        int status = in_child(break_out_of_memory);

        if (status == SKIPPED) {
                print_message("this kernel cannot refuse memory that becomes executable\n");
                skip();
        }
        assert_int_equal(status, 0);
}

static void capabilities_are_gone(_unused_ void **state) {
        if (geteuid() != 0) {
                print_message("not root, so there are no capabilities to give up\n");
                skip();
        }
        assert_int_equal(in_child(break_out_of_capabilities), 0);
        assert_int_equal(in_child(become_somebody), 0);
}

static void devices_are_its_own(_unused_ void **state) {
        int status = geteuid() == 0 ? in_child(use_own_devices) : SKIPPED;

        if (status == SKIPPED) {
                print_message("mounting is not permitted here, so private devices cannot be tried\n");
                skip();
        }
        assert_int_equal(status, 0);
}

/* What the kernel will decide is known before the filter is installed. */
static void filters_do_what_was_asked_for(_unused_ void **state) {
        static const char *const names[] = { "read", "no_such_call", CONFINE_SOCKET_UNIX };
        static const uint32_t allow = 0x7fff0000, deny = 0x00050000 | EPERM;
        uint32_t arch, other = 1;
        ConfineFilter f;

        assert_ok(confine_filter_build(names, ELEMENTSOF(names), &f));
        arch = f.code[1].k;
        assert_int_equal(confine_filter_decide(&f, arch, SYS_read, 0), allow);
        assert_int_equal(confine_filter_decide(&f, arch, SYS_write, 0), deny);
        assert_int_equal(confine_filter_decide(&f, arch, SYS_socket, AF_UNIX), allow);
        assert_int_equal(confine_filter_decide(&f, arch, SYS_socket, AF_INET), deny);
        assert_int_equal(confine_filter_decide(&f, arch, SYS_execve, 0), deny);
        assert_int_equal(confine_filter_decide(&f, arch ^ other, SYS_read, 0), deny);
        if (sizeof(void *) == 8 && SYS_read == 0) /* x86-64: x32 has its own numbers */
                assert_int_equal(confine_filter_decide(&f, arch, SYS_read | 0x40000000u, 0), deny);
        f.n = 0;
        assert_error(confine_filter_install(&f), EINVAL);
}

static void too_many_calls_are_refused(_unused_ void **state) {
        const char *names[CONFINE_FILTER_MAX];
        ConfineFilter f;

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                names[i] = "read";
        assert_error(confine_filter_build(names, ELEMENTSOF(names), &f), E2BIG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(filters_do_what_was_asked_for),
                cmocka_unit_test(too_many_calls_are_refused),
                cmocka_unit_test(files_are_out_of_reach),
                cmocka_unit_test(network_without_files),
                cmocka_unit_test(memory_stays_data),
                cmocka_unit_test(system_calls_are_refused),
                cmocka_unit_test(capabilities_are_gone),
                cmocka_unit_test(devices_are_its_own),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
