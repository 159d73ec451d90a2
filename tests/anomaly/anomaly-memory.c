/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Preloaded into programs: makes one allocation fail.
 *
 * ANOMALY_PROGRAMS=DIRECTORY    only programs below it are touched
 * ANOMALY_COUNTS=DIRECTORY      there lies a file for each program: three numbers of 64 bits, how many allocations there were, how many
 *                               failed, and of these how many that GnuTLS asked for
 * ANOMALY_MEMORY=NAME:N[+]      the Nth allocation of the program of that name and of its children fails; with "+" all from there on
 * ANOMALY_STOP=1                the process stops itself (SIGSTOP) right there, for a debugger: gdb -p
 *
 * An allocation is malloc(), calloc(), realloc(), posix_memalign(), aligned_alloc() and what the C library calls them for (strdup(), asprintf(),
 * fopen(), getline()). They are counted from main() on. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The C library's own, behind the names that are replaced here. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
typedef int (*Main)(int argc, char **argv, char **env);
int __libc_start_main(Main program, int argc, char **argv, void (*init)(void), void (*fini)(void),
                void (*rtld_fini)(void), void *stack);

static Main real_main;
static volatile unsigned long *
                counts; /* of allocations, failures, and those in GnuTLS; shared by all processes of the program */
static unsigned long wanted; /* 0: none */
static bool all_from_there;

/* GnuTLS computes with GMP, which aborts where it gets no memory. */
static bool asked_by_gnutls(const void *caller) {
        static const char *const libraries[] = { "libgnutls", "libtasn1", "libhogweed", "libnettle",
                "libgmp" };
        Dl_info i;

        if (dladdr(caller, &i) == 0 || !i.dli_fname)
                return false;
        for (size_t k = 0; k < sizeof(libraries) / sizeof(libraries[0]); k++) {
                if (strstr(i.dli_fname, libraries[k]))
                        return true;
        }
        return false;
}

static bool fails(const void *caller) {
        unsigned long n;

        if (!counts)
                return false;
        n = __atomic_add_fetch(&counts[0], 1, __ATOMIC_RELAXED);
        if (wanted == 0 || n < wanted || (n > wanted && !all_from_there))
                return false;
        counts[1]++;
        counts[2] += asked_by_gnutls(caller);
        if (n == wanted && getenv("ANOMALY_STOP"))
                raise(SIGSTOP);
        errno = ENOMEM;
        return true;
}

void *malloc(size_t n) {
        return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size) {
        return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n) {
        return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, n);
}

void *reallocarray(void *p, size_t n, size_t size) {
        size_t total;

        if (__builtin_mul_overflow(n, size, &total)) {
                errno = ENOMEM;
                return NULL;
        }
        return realloc(p, total);
}

void *memalign(size_t alignment, size_t n) {
        return fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, n);
}

void *aligned_alloc(size_t alignment, size_t n) {
        return memalign(alignment, n);
}

int posix_memalign(void **ret, size_t alignment, size_t n) {
        void *p = memalign(alignment, n);

        if (!p)
                return ENOMEM;
        *ret = p;
        return 0;
}

/* The numbers of this program: in a file, so that they are the same ones in all its processes. */
static void open_counts(const char *name) {
        const char *directory = getenv("ANOMALY_COUNTS");
        char path[PATH_MAX];
        void *p;
        int fd;

        if (!directory || snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int) sizeof(path))
                return;
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
                return;
        if (ftruncate(fd, 24) == 0) {
                p = mmap(NULL, 24, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
                counts = p == MAP_FAILED ? NULL : p;
        }
        close(fd);
}

static int counted_main(int argc, char **argv, char **env) {
        const char *programs = getenv("ANOMALY_PROGRAMS"), *point = getenv("ANOMALY_MEMORY");
        const char *colon = point ? strrchr(point, ':') : NULL, *name;
        char path[PATH_MAX];
        const ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

        path[n > 0 ? n : 0] = 0;
        if (!programs || strncmp(path, programs, strlen(programs)) != 0)
                return real_main(argc, argv, env);
        name = strrchr(path, '/') + 1;
        if (colon && strlen(name) == (size_t) (colon - point) && strncmp(name, point, strlen(name)) == 0) {
                wanted = strtoul(colon + 1, NULL, 10);
                all_from_there = point[strlen(point) - 1] == '+';
        }
        open_counts(name);
        return real_main(argc, argv, env);
}

int __libc_start_main(Main program, int argc, char **argv, void (*init)(void), void (*fini)(void),
                void (*rtld_fini)(void), void *stack) {
        typeof(__libc_start_main) *next = NULL;

        real_main = program;
        next = (typeof(next)) dlsym(RTLD_NEXT, "__libc_start_main");
        return next(counted_main, argc, argv, init, fini, rtld_fini, stack);
}
