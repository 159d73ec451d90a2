/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Preloaded into a program: it is killed (SIGKILL, by itself) right before its DIE_AT-th change of the world, which is a write to a file, a
 * synchronisation, a truncation, a removal or a send. */

#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static long left = -1;

__attribute__((constructor)) static void prepare(void) {
        const char *n = getenv("DIE_AT");

        left = n ? atol(n) : -1;
}

static void step(void) {
        if (left > 0 && --left == 0)
                (void) syscall(SYS_tgkill, getpid(), gettid(), SIGKILL);
}

#define WRAP(type, name, declared, given)                                                                   \
        type name declared;                                                                                 \
        type name declared {                                                                                \
                static type(*real) declared;                                                                \
                                                                                                            \
                if (!real)                                                                                  \
                        real = (type(*) declared) dlsym(RTLD_NEXT, #name);                                  \
                step();                                                                                     \
                return real given;                                                                          \
        }

/* clang-format off */
WRAP(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
WRAP(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at))
WRAP(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, ftruncate, (int fd, off_t n), (fd, n))
WRAP(int, ftruncate64, (int fd, off64_t n), (fd, n))
WRAP(int, unlink, (const char *path), (path))
WRAP(int, rename, (const char *from, const char *to), (from, to))
WRAP(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
