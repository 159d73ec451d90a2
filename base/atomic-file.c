/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "atomic-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

static int write_direct(const char *path, const void *p, size_t n) {
        _cleanup_close_ int fd = fd_open(path, O_WRONLY | O_TRUNC | O_NOCTTY, 0);

        return fd < 0 ? fd : fd_write_all(fd, p, n);
}

/* ".NAME.0123456789abcdef" in the same directory. */
static int temporary_name(const char *path, char **ret) {
        const char *slash = strrchr(path, '/');
        int directory = slash ? (int) (slash - path) + 1 : 0;
        uint64_t salt;

        if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
                return -EIO;
        if (asprintf(ret, "%.*s.%.200s.%016llx", directory, path, path + directory,
                            (unsigned long long) salt) < 0)
                return -ENOMEM;
        return 0;
}

static int fill(const char *path, const void *p, size_t n, mode_t mode, unsigned flags) {
        _cleanup_close_ int fd = fd_open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
        int r;

        if (fd < 0)
                return fd;
        if ((flags & ATOMIC_FILE_EXACT_MODE) && fchmod(fd, mode) < 0)
                return -errno;
        r = fd_write_all(fd, p, n);
        if (r < 0)
                return r;
        return fsync(fd) < 0 ? -errno : 0;
}

int file_write_atomic(const char *path, const void *p, size_t n, mode_t mode, unsigned flags) {
        _cleanup_free_ char *temporary = NULL;
        struct stat st;
        int r;

        if ((flags & ATOMIC_FILE_REPLACE) && stat(path, &st) >= 0 && !S_ISREG(st.st_mode))
                return S_ISDIR(st.st_mode) ? -EISDIR : write_direct(path, p, n);
        r = temporary_name(path, &temporary);
        if (r < 0)
                return r;
        r = fill(temporary, p, n, mode, flags);
        if (r == -EEXIST) /* somebody else's: not ours to remove */
                return -EAGAIN;
        if (r >= 0) {
                /* link() refuses an existing name, where rename() would replace it */
                r = flags & ATOMIC_FILE_REPLACE ? rename(temporary, path) : link(temporary, path);
                r = r < 0 ? -errno : 0;
        }
        if (r < 0 || !(flags & ATOMIC_FILE_REPLACE))
                (void) unlink(temporary);
        return r;
}
