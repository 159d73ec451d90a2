/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-batch-file.h"

#include <errno.h>

#include "fd.h"
#include "input.h"
#include "strutil.h"

/* One line into the buffer of BATCH_LINE_SIZE_MAX + 1 bytes: 1, 0 at the end. What is longer is a bad row; what is much longer is not a batch. */
int batch_read_line(FILE *f, char *line, size_t *ret_size) {
        size_t n = 0;
        int c;

        while ((c = getc_unlocked(f)) != EOF) {
                if (n < BATCH_LINE_SIZE_MAX)
                        line[n] = (char) c;
                if (++n > BATCH_LINE_SKIPPED_MAX)
                        return -E2BIG;
                if (c == '\n')
                        break;
        }
        line[MIN(n, (size_t) BATCH_LINE_SIZE_MAX)] = 0;
        *ret_size = n;
        return ferror(f) ? -errno : n > 0;
}

int batch_open(const char *path, FILE **ret, char **reterr) {
        int fd;

        if (streq(path, "-")) {
                *ret = stdin;
                return 0;
        }
        fd = fd_open_read(path, PIPE_WRITER_USEC);
        if (fd < 0)
                return input_error("batch", path, 0, fd, reterr);
        *ret = fdopen(fd, "re");
        if (!*ret) {
                fd_close(fd);
                return -ENOMEM;
        }
        return 0;
}
