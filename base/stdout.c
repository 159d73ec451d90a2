/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "stdout.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

int stdout_open(void) {
        int fd;

        /* A write beyond RLIMIT_FSIZE is an error like that of a full disk, and killed nobody yet. */
        if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
                return -errno;
        do {
                fd = open("/dev/null", O_RDONLY);
                if (fd < 0)
                        return -errno;
        } while (fd <= STDERR_FILENO);
        (void) close(fd);
        return 0;
}

int stdout_finish(int r, char **reterr) {
        bool lost = ferror(stdout);

        errno = 0;
        if (fflush(stdout) == 0 && !lost)
                return r;
        /* A program that noticed has given up without a message; one that failed earlier has one. */
        if (r < 0 && (r != -EIO || *reterr))
                return r;
        return error_set(reterr, -EIO, "cannot write to standard output: %s; the output is incomplete",
                        errno != 0 ? strerror(errno) : "an earlier write failed");
}
