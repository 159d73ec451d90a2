/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* bench-cold COMMAND [ARGUMENTS...]: runs it once and prints what that took: wall and processor time in microseconds, the largest resident
 * memory in KiB, the exit status. A small process starts and waits for it: from Python the start alone takes a millisecond, and
 * Python's memory counts as the command's. The command's standard output is thrown away. */

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_usec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static double usec(struct timeval t) {
        return (double) t.tv_sec * 1e6 + (double) t.tv_usec;
}

int main(int argc, char **argv) {
        posix_spawn_file_actions_t actions;
        struct rusage u;
        double begin;
        int status;
        pid_t pid;

        if (argc < 2 || posix_spawn_file_actions_init(&actions) != 0 ||
                        posix_spawn_file_actions_addopen(
                                        &actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0) != 0)
                return 127;
        begin = now_usec();
        if (posix_spawn(&pid, argv[1], &actions, NULL, argv + 1, environ) != 0 ||
                        wait4(pid, &status, 0, &u) != pid) {
                (void) fprintf(stderr, "bench-cold: cannot run '%s'\n", argv[1]);
                return 127;
        }
        printf("%.0f %.0f %ld %d\n", now_usec() - begin, usec(u.ru_utime) + usec(u.ru_stime), u.ru_maxrss,
                        WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        return 0;
}
