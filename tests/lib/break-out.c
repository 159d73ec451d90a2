/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Preloaded into a program that confines itself: on SIGUSR1 it tries to break out from within, and writes what came of each attempt to
 * standard error, as "break-out NAME RESULT" with 0 or the error's name. The attempts that must work are there to show that the others fail
 * for the right reason. BREAK_OUT_INSIDE and BREAK_OUT_OUTSIDE are directories, BREAK_OUT_PORT is a TCP port that listens, BREAK_OUT_PID a
 * process of the same user. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static char inside[256], outside[256];
static int port, pid;

static int result(long r) {
        return r < 0 ? errno : 0;
}

static int file(const char *folder, const char *name, int flags) {
        char path[300];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        fd = open(path, flags | O_CLOEXEC, 0600);
        if (fd >= 0)
                (void) close(fd);
        return result(fd);
}

static int connect_tcp(void) {
        struct sockaddr_in a = { .sin_family = AF_INET,
                .sin_port = htons((uint16_t) port),
                .sin_addr = { htonl(INADDR_LOOPBACK) } };
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        return fd < 0 ? errno : result(connect(fd, (struct sockaddr *) &a, sizeof(a)));
}

static int connect_unix(void) {
        struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "/run/dbus/system_bus_socket" };
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        return fd < 0 ? errno : result(connect(fd, (struct sockaddr *) &a, sizeof(a)));
}

static int execute(void) {
        static char *const argv[] = { (char *) "true", NULL };

        return result(execv("/bin/true", argv));
}

static int execute_memory(void) {
        static char *const argv[] = { (char *) "x", NULL };
        int fd = memfd_create("x", 0);

        return fd < 0 ? errno : result(fexecve(fd, argv, argv));
}

static int fork_once(void) {
        long r = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

        if (r == 0)
                _exit(0);
        return result(r);
}

static int read_process(void) {
        char c;
        struct iovec to = { &c, 1 }, from = { (void *) 0x400000, 1 };

        return result(process_vm_readv(pid, &to, 1, &from, 1, 0));
}

static int executable_memory(void) {
        void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        return p == MAP_FAILED ? errno : result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

static void attempts(int sig) {
        const struct {
                const char *name;
                int error;
        } all[] = {
                { "inside-write", file(inside, "break-out", O_WRONLY | O_CREAT) },
                { "inside-read", file(inside, "break-out", O_RDONLY) },
                { "outside-read", file(outside, "there", O_RDONLY) },
                { "outside-write", file(outside, "new", O_WRONLY | O_CREAT) },
                { "upwards", file(inside, "../outside/there", O_RDONLY) },
                { "passwd", file("/etc", "passwd", O_RDONLY) },
                { "self", file("/proc/self", "maps", O_RDONLY) },
                { "execute", execute() },
                { "execute-memory", execute_memory() },
                { "fork", fork_once() },
                { "connect-tcp", connect_tcp() },
                { "connect-unix", connect_unix() },
                { "ptrace", result(ptrace(PTRACE_SEIZE, pid, 0, 0)) },
                { "read-process", read_process() },
                { "kill", result(kill(pid, 0)) },
                { "unshare", result(unshare(CLONE_NEWUSER)) },
                { "mount", result(mount("none", inside, "tmpfs", 0, NULL)) },
                { "become-root", result(setuid(0)) },
                { "chroot", result(chroot(inside)) },
                { "mkdir", result(mkdir(outside, 0700)) },
                { "io-uring", result(syscall(SYS_io_uring_setup, 1, NULL)) },
                { "bpf", result(syscall(SYS_bpf, 0, NULL, 0)) },
                { "keys", result(syscall(SYS_keyctl, 0, 0, 0, 0, 0)) },
                { "executable-memory", executable_memory() },
        };

        (void) sig;
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
                (void) dprintf(STDERR_FILENO, "break-out %s %s\n", all[i].name,
                                all[i].error == 0 ? "0" : strerrorname_np(all[i].error));
        (void) dprintf(STDERR_FILENO, "break-out end\n");
}

__attribute__((constructor)) static void prepare(void) {
        const char *a = getenv("BREAK_OUT_INSIDE"), *b = getenv("BREAK_OUT_OUTSIDE"),
                   *p = getenv("BREAK_OUT_PORT"), *q = getenv("BREAK_OUT_PID");

        if (!a || !b || !p || !q)
                return;
        (void) snprintf(inside, sizeof(inside), "%s", a);
        (void) snprintf(outside, sizeof(outside), "%s", b);
        port = atoi(p);
        pid = atoi(q);
        (void) signal(SIGUSR1, attempts);
}
