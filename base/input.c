/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "fd.h"

int input_error(const char *option, const char *path, size_t max, int r, char **reterr) {
        if (r == -E2BIG)
                (void) error_set(reterr, r, "cannot read '%s': it has more than %zu bytes", path, max);
        else if (r == -ETIMEDOUT)
                (void) error_set(reterr, r,
                                "'%s' is a named pipe, and no program opened it for writing within %u s",
                                path, (unsigned) (PIPE_WRITER_USEC / 1000000));
        else
                (void) error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        return option ? error_prefix(reterr, r, "--%s", option) : r;
}

int input_read(const char *option, const char *path, size_t max, char **ret, size_t *ret_size,
                char **reterr) {
        int r = file_read_all(path, max, ret, ret_size);

        return r < 0 ? input_error(option, path, max, r, reterr) : 0;
}

int input_read_secret(const char *option, const char *path, size_t max, SecretBuf *ret, char **reterr) {
        _cleanup_close_ int fd = fd_open_read(path, PIPE_WRITER_USEC);
        int r = fd < 0 ? fd : secret_buf_read_fd(ret, fd, max);

        return r < 0 ? input_error(option, path, max, r, reterr) : 0;
}

bool input_is_uri(const char *s) {
        const char *colon = strchr(s, ':');
        struct stat st;

        return colon && !memchr(s, '/', (size_t) (colon - s)) && stat(s, &st) < 0;
}
