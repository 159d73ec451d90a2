/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For bench/launch, preloaded into QEMU before the simulated host: notes when QEMU lets the guest's first instruction run, and at its
 * end how much processor time it took. */

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

typedef int (*IoctlFunction)(int fd, unsigned long request, ...);

static int stamp_fd = -1;

__attribute__((constructor)) static void begin(void) {
        const char *path = getenv("BENCH_STAMP");

        stamp_fd = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
}

static void note(const char *label, long long nanoseconds) {
        char text[64];
        int n = snprintf(text, sizeof(text), "%s %lld\n", label, nanoseconds);

        if (write(stamp_fd, text, (size_t) n) != n)
                abort();
}

static long long clock_ns(clockid_t clock) {
        struct timespec t;

        (void) clock_gettime(clock, &t);
        return (long long) t.tv_sec * 1000000000 + t.tv_nsec;
}

__attribute__((destructor)) static void end(void) {
        note("cpu", clock_ns(CLOCK_PROCESS_CPUTIME_ID));
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...) {
        static atomic_bool noted;
        static IoctlFunction next;
        va_list ap;
        void *arg, *symbol;

        va_start(ap, request);
        arg = va_arg(ap, void *);
        va_end(ap);
        if (!next) {
                symbol = dlsym(RTLD_NEXT, "ioctl");
                memcpy(&next, &symbol, sizeof(next));
        }
        if (request == KVM_RUN && !atomic_exchange(&noted, true))
                note("run", clock_ns(CLOCK_MONOTONIC));
        return next(fd, request, arg);
}
