/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Preloaded into a program: its wall clock is off by as many seconds as the file CLOCK_AT says, eight bytes that the test changes while the
 * program runs. The clocks that nobody can set are left alone. */

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *off;

/* At the start: later the program may open nothing. */
__attribute__((constructor)) static void prepare(void) {
        const char *path = getenv("CLOCK_AT");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *p;

        if (fd < 0)
                return;
        p = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
        (void) close(fd);
        off = p == MAP_FAILED ? NULL : p;
}

int clock_gettime(clockid_t clock, struct timespec *ts) {
        int r = (int) syscall(SYS_clock_gettime, clock, ts);

        if (r == 0 && off && clock == CLOCK_REALTIME)
                ts->tv_sec += *off;
        return r;
}

time_t time(time_t *to) {
        struct timespec ts;
        time_t now = clock_gettime(CLOCK_REALTIME, &ts) < 0 ? -1 : ts.tv_sec;

        if (to)
                *to = now;
        return now;
}
