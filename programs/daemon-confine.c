/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a daemon keeps when it starts to accept connections: its open sockets, and the files that it names. It cannot start programs, open
 * connections or look at other processes. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "daemon.h"
#include "error.h"
#include "log.h"
#include "strutil.h"

#define EXTRA_MAX 16u

/* The event loop, libmicrohttpd, SQLite with its write-ahead log, and the C library's memory. */
static const char *const system_calls[] = {
        "accept",
        "accept4",
        "access",
        "brk",
        "clock_gettime",
        "clock_nanosleep",
        "close",
        "dup",
        "epoll_create1",
        "epoll_ctl",
        "epoll_pwait",
        "epoll_wait",
        "eventfd2",
        "exit",
        "exit_group",
        "faccessat",
        "faccessat2",
        "fallocate",
        "fchmod",
        "fchown",
        "fcntl",
        "fdatasync",
        "fstat",
        "fsync",
        "ftruncate",
        "futex",
        "getcwd",
        "getegid",
        "geteuid",
        "getgid",
        "getpeername",
        "getpid",
        "getrandom",
        "getsockname",
        "getsockopt",
        "gettid",
        "getuid",
        "lseek",
        "lstat",
        "madvise",
        "memfd_create",
        "mlock",
        "mlock2",
        "mmap",
        "mprotect",
        "mremap",
        "munlock",
        "munmap",
        "newfstatat",
        "open",
        "openat",
        "poll",
        "ppoll",
        "pread64",
        "pwrite64",
        "read",
        "readlink",
        "readlinkat",
        "readv",
        "recvfrom",
        "recvmsg",
        "restart_syscall",
        "rseq",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "sendmsg",
        "sendto",
        "setsockopt",
        "shutdown",
        "signalfd4",
        "stat",
        "statx",
        "sysinfo",
        "tgkill",
        "timerfd_create",
        "timerfd_settime",
        "unlink",
        "unlinkat",
        "utimensat",
        "write",
        "writev",
};

static int no_landlock(int r) {
        if (r == -EOPNOTSUPP)
                log_warning("this kernel does not support Landlock: only file permissions protect other files");
        return r == -EOPNOTSUPP ? 0 : r;
}

/* With the path that is missing, if one is. */
static int say_failure(const DaemonConfinement *c, int r, char **reterr) {
        FOREACH_ARRAY(p, c->paths, c->n_paths)
                if (access(p->path, F_OK) < 0)
                        return error_set(reterr, r, "cannot give up privileges: '%s': %s", p->path,
                                        strerror(errno));
        return error_set(reterr, r, "cannot give up privileges: %s", strerror(-r));
}

int daemon_confine(const DaemonConfinement *c, char **reterr) {
        const char *calls[ELEMENTSOF(system_calls) + EXTRA_MAX];
        int r;

        assert(c->n_calls <= EXTRA_MAX);
        memcpy(calls, system_calls, sizeof(system_calls));
        for (size_t i = 0; i < c->n_calls; i++)
                calls[ELEMENTSOF(system_calls) + i] = c->calls[i];
        /* Other processes of this user cannot look into this one. */
        r = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : confine_no_new_privileges();
        if (r >= 0)
                r = confine_capabilities(NULL, 0);
        if (r >= 0)
                r = no_landlock(c->network ? confine_files_to_paths(c->paths, c->n_paths)
                                           : confine_to_paths(c->paths, c->n_paths));
        if (r >= 0)
                r = confine_memory();
        if (r == -EOPNOTSUPP)
                r = 0;
        if (r >= 0)
                r = confine_system_calls(calls, ELEMENTSOF(system_calls) + c->n_calls);
        return r < 0 ? say_failure(c, r, reterr) : 0;
}

int daemon_confine_fetcher(const char *const *stores, size_t n_stores) {
        static const char *const readable[] = { "/usr", "/lib", "/lib64", "/etc/ssl", "/etc/pki",
                "/etc/ca-certificates", "/etc/ld.so.cache", "/etc/resolv.conf", "/etc/hosts",
                "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/services",
                "/run/systemd/resolve", "/run/resolvconf", "/run/nscd" };
        ConfinePath paths[DAEMON_STORES_MAX + ELEMENTSOF(readable)];
        size_t n = 0;
        int r = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : confine_no_new_privileges();

        for (size_t i = 0; i < n_stores && i < DAEMON_STORES_MAX; i++)
                paths[n++] = (ConfinePath) { stores[i], true };
        FOREACH_ARRAY(path, readable, ELEMENTSOF(readable))
                if (access(*path, F_OK) >= 0)
                        paths[n++] = (ConfinePath) { *path, false };
        if (r >= 0)
                r = confine_capabilities(NULL, 0);
        if (r >= 0)
                r = confine_files_to_paths(paths, n);
        return r == -EOPNOTSUPP ? 0 : r;
}

int daemon_confine_forwarder(char **reterr) {
        /* getaddrinfo() asks netlink which addresses this machine has, and name servers by UDP. */
        static const char *const of_a_client[] = { "socket", "connect", "bind", "recvmmsg", "sendmmsg",
                "ioctl", "uname" };
        const char *calls[ELEMENTSOF(system_calls) + ELEMENTSOF(of_a_client)];
        int r = no_landlock(daemon_confine_fetcher(NULL, 0));

        memcpy(calls, system_calls, sizeof(system_calls));
        memcpy(calls + ELEMENTSOF(system_calls), of_a_client, sizeof(of_a_client));
        if (r >= 0)
                r = confine_memory();
        if (r == -EOPNOTSUPP)
                r = 0;
        if (r >= 0)
                r = confine_system_calls(calls, ELEMENTSOF(calls));
        return r < 0 ? error_set(reterr, r, "cannot give up privileges: %s", strerror(-r)) : 0;
}

static int push_folder(const char *file, char ***list) {
        const char *slash = strrchr(file, '/');

        return slash ? strv_pushf(list, "%.*s", (int) (slash - file) + 1, file) : strv_push(list, ".");
}

int daemon_folders_of(const char *file, char ***list) {
        _cleanup_free_ char *real = realpath(file, NULL);
        int r = push_folder(file, list);

        return r >= 0 && real ? push_folder(real, list) : r;
}
