/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* For bench/launch. Called "qemu" it notes the time, loads the simulated host and becomes $BENCH_QEMU. Otherwise it notes the time and
 * becomes the command in its arguments, which sees the unit in $BENCH_UNIT as its own: systemd-vmspawn asks for it. It is static, so
 * that it adds next to nothing. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

static int stamp(const char *label) {
        const char *path = getenv("BENCH_STAMP");
        int fd = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
        struct timespec t;
        char text[64];
        int n;

        if (fd < 0 || clock_gettime(CLOCK_MONOTONIC, &t) < 0)
                return -EIO;
        n = snprintf(text, sizeof(text), "%s %lld\n", label, (long long) t.tv_sec * 1000000000 + t.tv_nsec);
        return write(fd, text, (size_t) n) == n ? close(fd) : -EIO;
}

static int hide_unit(const char *unit) {
        char path[64];

        (void) snprintf(path, sizeof(path), "/proc/%d/cgroup", (int) getpid());
        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return -errno;
        return mount(unit, path, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

int main(int argc, char **argv) {
        const char *slash = strrchr(argv[0], '/'), *unit = getenv("BENCH_UNIT");

        if (strcmp(slash ? slash + 1 : argv[0], "qemu") == 0) {
                const char *preload = getenv("BENCH_PRELOAD"), *qemu = getenv("BENCH_QEMU");

                if (stamp("exec") < 0 || !preload || !qemu || setenv("LD_PRELOAD", preload, 1) < 0)
                        return 127;
                (void) execv(qemu, argv);
        } else if (argc > 1) {
                if ((unit && hide_unit(unit) < 0) || stamp("begin") < 0)
                        return 127;
                (void) execv(argv[1], argv + 1);
        }
        perror("launch-stamp");
        return 127;
}
