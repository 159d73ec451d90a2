/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Sources: the ERRORS section of each call's page in section 2 of the Linux manual. Left out: errors that mean a mistake of the caller
 * (EFAULT, EINVAL, EBADF), and calls that cannot fail. */

#include "anomaly-table.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#define N_ELEMENTS(x) (sizeof(x) / sizeof((x)[0]))

#define CALL(name_)    .number = SYS_##name_, .name = #name_
#define FD_CALL(name_) CALL(name_), .takes_fd = true

#define DATA   (FD_FILE | FD_PIPE | FD_SOCKET)
#define STREAM (FD_PIPE | FD_SOCKET)

#define READS                                                                                               \
        {                                                                                                   \
                { "EIO", DATA }, { "EINTR", STREAM | FD_OTHER }, {                                          \
                        "short", FD_FILE | FD_PIPE                                                          \
                }                                                                                           \
        }
#define WRITES                                                                                              \
        {                                                                                                   \
                { "ENOSPC", FD_FILE }, { "EIO", DATA }, { "EPIPE", STREAM }, { "EINTR", STREAM }, {         \
                        "short", FD_FILE | FD_PIPE                                                          \
                }                                                                                           \
        }
#define NEW_FD                                                                                              \
        {                                                                                                   \
                { "EMFILE", FD_ANY }                                                                        \
        }
#define NEW_FD_MEMORY                                                                                       \
        {                                                                                                   \
                { "EMFILE", FD_ANY }, {                                                                     \
                        "ENOMEM", FD_ANY                                                                    \
                }                                                                                           \
        }
#define OPENS                                                                                               \
        {                                                                                                   \
                { "EMFILE", FD_ANY }, {                                                                     \
                        "EIO", FD_ANY                                                                       \
                }                                                                                           \
        }
#define NO_MEMORY                                                                                           \
        {                                                                                                   \
                { "ENOMEM", FD_ANY }                                                                        \
        }
#define LOOKS                                                                                               \
        {                                                                                                   \
                { "EIO", FD_ANY }                                                                           \
        }
#define CHANGES                                                                                             \
        {                                                                                                   \
                { "ENOSPC", FD_ANY }, {                                                                     \
                        "EIO", FD_ANY                                                                       \
                }                                                                                           \
        }
#define WAITS                                                                                               \
        {                                                                                                   \
                { "EINTR", FD_ANY }                                                                         \
        }
#define FORKS                                                                                               \
        {                                                                                                   \
                { "EAGAIN", FD_ANY }                                                                        \
        }
#define NOT_PERMITTED                                                                                       \
        {                                                                                                   \
                { "EPERM", FD_ANY }                                                                         \
        }

static const Call calls[] = {
        { FD_CALL(read), .errors = READS },
        { FD_CALL(pread64), .errors = { { "EIO", DATA }, { "short", FD_FILE } } },
        { FD_CALL(readv), .errors = { { "EIO", DATA } } },
        { FD_CALL(write), .errors = WRITES },
        { FD_CALL(pwrite64), .errors = { { "ENOSPC", FD_FILE }, { "EIO", FD_FILE }, { "short", FD_FILE } } },
        { FD_CALL(writev), .errors = { { "ENOSPC", FD_FILE }, { "EIO", DATA }, { "EPIPE", STREAM } } },
        { FD_CALL(sendto), .errors = { { "EPIPE", FD_ANY }, { "EINTR", FD_ANY }, { "ENOBUFS", FD_ANY } } },
        { FD_CALL(sendmsg), .errors = { { "EPIPE", FD_ANY }, { "EINTR", FD_ANY }, { "ENOBUFS", FD_ANY } } },
        { FD_CALL(recvfrom),
                        .errors = { { "ECONNRESET", FD_ANY }, { "EINTR", FD_ANY }, { "ENOMEM", FD_ANY } } },
        { FD_CALL(recvmsg),
                        .errors = { { "ECONNRESET", FD_ANY }, { "EINTR", FD_ANY }, { "ENOMEM", FD_ANY } } },
        { FD_CALL(sendfile), .errors = { { "EIO", FD_ANY }, { "ENOSPC", FD_FILE } } },
        { FD_CALL(copy_file_range),
                        .errors = { { "EIO", FD_ANY }, { "ENOSPC", FD_ANY }, { "EXDEV", FD_ANY } } },
        { FD_CALL(close), .errors = { { "EIO", FD_FILE } } },
        { CALL(openat), .errors = OPENS },
#ifdef SYS_open
        { CALL(open), .errors = OPENS },
        { CALL(stat), .errors = LOOKS },
        { CALL(lstat), .errors = LOOKS },
        { CALL(access), .errors = LOOKS },
        { CALL(readlink), .errors = LOOKS },
        { CALL(mkdir), .errors = CHANGES },
        { CALL(rename), .errors = CHANGES },
        { CALL(link), .errors = CHANGES },
        { CALL(unlink), .errors = LOOKS },
        { CALL(rmdir), .errors = LOOKS },
        { CALL(chmod), .errors = LOOKS },
        { CALL(fork), .errors = FORKS },
        { CALL(vfork), .errors = FORKS },
        { CALL(poll), .errors = { { "EINTR", FD_ANY }, { "ENOMEM", FD_ANY } } },
        { CALL(select), .errors = { { "EINTR", FD_ANY }, { "ENOMEM", FD_ANY } } },
        { CALL(epoll_wait), .errors = WAITS },
        { CALL(signalfd), .errors = NEW_FD },
        { CALL(dup2), .errors = { { "EMFILE", FD_ANY }, { "EINTR", FD_ANY } } },
#endif
        { CALL(newfstatat), .errors = LOOKS },
        { CALL(statx), .errors = LOOKS },
        { FD_CALL(fstat), .errors = { { "EIO", FD_FILE } } },
        { CALL(faccessat), .errors = LOOKS },
        { CALL(faccessat2), .errors = LOOKS },
        { CALL(readlinkat), .errors = LOOKS },
        { FD_CALL(getdents64), .errors = LOOKS },
        { CALL(mkdirat), .errors = CHANGES },
        { CALL(renameat), .errors = CHANGES },
        { CALL(renameat2), .errors = CHANGES },
        { CALL(linkat), .errors = CHANGES },
        { CALL(unlinkat), .errors = LOOKS },
        { FD_CALL(fchmod), .errors = LOOKS },
        { FD_CALL(ftruncate), .errors = CHANGES },
        { FD_CALL(fallocate), .errors = CHANGES },
        { FD_CALL(fsync), .errors = CHANGES },
        { FD_CALL(fdatasync), .errors = CHANGES },
        { FD_CALL(flock), .errors = { { "EINTR", FD_ANY }, { "ENOLCK", FD_ANY } } },
        { CALL(mmap), .errors = NO_MEMORY },
        { CALL(mremap), .errors = NO_MEMORY },
        { CALL(mprotect), .errors = NO_MEMORY },
        { CALL(brk), .errors = NO_MEMORY },
        { CALL(mlock), .errors = NO_MEMORY },
        { CALL(memfd_create), .errors = NEW_FD_MEMORY },
        { CALL(pipe2), .errors = NEW_FD },
        { CALL(socket), .errors = NEW_FD },
        { CALL(socketpair), .errors = NEW_FD },
        { CALL(eventfd2), .errors = NEW_FD },
        { CALL(epoll_create1), .errors = NEW_FD },
        { CALL(timerfd_create), .errors = NEW_FD },
        { CALL(signalfd4), .errors = NEW_FD },
        { CALL(inotify_init1), .errors = NEW_FD },
        { CALL(dup), .errors = NEW_FD },
        { CALL(dup3), .errors = { { "EMFILE", FD_ANY }, { "EINTR", FD_ANY } } },
        { CALL(accept4),
                        .errors = { { "EMFILE", FD_ANY }, { "ECONNABORTED", FD_ANY },
                                        { "EINTR", FD_ANY } } },
        { FD_CALL(connect), .errors = { { "ECONNREFUSED", FD_ANY }, { "EINTR", FD_ANY } } },
        { FD_CALL(bind), .errors = { { "EADDRINUSE", FD_ANY }, { "ENOMEM", FD_ANY } } },
        { FD_CALL(listen), .errors = { { "EADDRINUSE", FD_ANY } } },
        { CALL(epoll_ctl), .operation = EPOLL_CTL_ADD,
                        .errors = { { "ENOMEM", FD_ANY }, { "ENOSPC", FD_ANY } } },
        { CALL(epoll_pwait), .errors = WAITS },
        { CALL(epoll_pwait2), .errors = { { "EINTR", FD_ANY }, { "ENOSYS", FD_ANY } } },
        { CALL(ppoll), .errors = { { "EINTR", FD_ANY }, { "ENOMEM", FD_ANY } } },
        { CALL(pselect6), .errors = { { "EINTR", FD_ANY }, { "ENOMEM", FD_ANY } } },
        { CALL(clone), .errors = FORKS },
        { CALL(clone3), .errors = { { "EAGAIN", FD_ANY }, { "ENOSYS", FD_ANY } } },
        { CALL(execve), .errors = { { "ENOMEM", FD_ANY }, { "EIO", FD_ANY } } },
        { CALL(wait4), .errors = WAITS },
        { CALL(waitid), .errors = WAITS },
        { CALL(pidfd_open), .errors = { { "EMFILE", FD_ANY }, { "ENOSYS", FD_ANY } } },
        { CALL(getrandom), .errors = { { "EINTR", FD_ANY }, { "ENOSYS", FD_ANY } } },
        { CALL(prctl), .errors = NOT_PERMITTED },
        { CALL(seccomp), .errors = { { "ENOMEM", FD_ANY }, { "EINVAL", FD_ANY } } },
        { CALL(landlock_create_ruleset), .errors = { { "EMFILE", FD_ANY }, { "ENOSYS", FD_ANY } } },
        { CALL(landlock_add_rule), .errors = { { "ENOMEM", FD_ANY } } },
        { CALL(landlock_restrict_self), .errors = { { "ENOMEM", FD_ANY }, { "E2BIG", FD_ANY } } },
        { CALL(capset), .errors = NOT_PERMITTED },
        { CALL(setresuid), .errors = { { "EAGAIN", FD_ANY }, { "EPERM", FD_ANY } } },
        { CALL(setresgid), .errors = NOT_PERMITTED },
        { CALL(setgroups), .errors = { { "EPERM", FD_ANY }, { "ENOMEM", FD_ANY } } },
        { CALL(unshare), .errors = { { "EPERM", FD_ANY }, { "ENOSPC", FD_ANY } } },
        { CALL(mount), .errors = { { "EPERM", FD_ANY }, { "ENOMEM", FD_ANY } } },
        { CALL(prlimit64), .errors = NOT_PERMITTED },
};

static const struct {
        const char *name;
        int number;
} numbers[] = {
        { "EIO", EIO },
        { "ENOSPC", ENOSPC },
        { "ENOMEM", ENOMEM },
        { "EMFILE", EMFILE },
        { "EINTR", EINTR },
        { "EAGAIN", EAGAIN },
        { "EPIPE", EPIPE },
        { "EPERM", EPERM },
        { "EINVAL", EINVAL },
        { "ENOSYS", ENOSYS },
        { "ENOBUFS", ENOBUFS },
        { "ENOLCK", ENOLCK },
        { "EXDEV", EXDEV },
        { "E2BIG", E2BIG },
        { "ECONNRESET", ECONNRESET },
        { "ECONNREFUSED", ECONNREFUSED },
        { "ECONNABORTED", ECONNABORTED },
        { "EADDRINUSE", EADDRINUSE },
        { "short", SHORT_COUNT },
};

const Call *call_find(long number, unsigned long operation) {
        for (size_t i = 0; i < N_ELEMENTS(calls); i++)
                if (calls[i].number == number &&
                                (calls[i].operation == 0 || (unsigned long) calls[i].operation == operation))
                        return calls + i;
        return NULL;
}

int error_number(const char *name) {
        for (size_t i = 0; i < N_ELEMENTS(numbers); i++)
                if (strcmp(numbers[i].name, name) == 0)
                        return numbers[i].number;
        return 0;
}
