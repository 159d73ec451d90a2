/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the service keeps when it starts to accept connections: the open sockets, the state directory, and read access to the directories of
 * certificates. It cannot start programs, open connections or look at other processes. */

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "attestd.h"
#include "confine.h"
#include "error.h"
#include "log.h"

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

int attestd_confine(const AttestdArgs *a, const AttestdWorld *w, char **reterr) {
        ConfinePath paths[3] = { { w->state, true } };
        size_t n = 1;
        int r;

        if (a->cek_store)
                paths[n++] = (ConfinePath) { a->cek_store, false };
        if (a->kds_cache)
                paths[n++] = (ConfinePath) { a->kds_cache, false };
        /* Other processes of this user cannot look into this one. */
        r = prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : confine_no_new_privileges();
        if (r >= 0)
                r = confine_capabilities(NULL, 0);
        if (r >= 0)
                r = no_landlock(confine_to_paths(paths, n));
        if (r >= 0)
                r = confine_memory();
        if (r == -EOPNOTSUPP)
                r = 0;
        if (r >= 0)
                r = confine_system_calls(system_calls, ELEMENTSOF(system_calls));
        return r < 0 ? error_set(reterr, r, "cannot give up privileges: %s", strerror(-r)) : 0;
}
