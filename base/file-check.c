/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "file-check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

int file_check_parent(const char *path) {
        _cleanup_free_ char *folder = strdup(path);
        _cleanup_close_ int fd = -EBADF;
        char *slash;

        if (!folder)
                return -ENOMEM;
        if (!*folder)
                return -ENOENT;
        for (size_t n = strlen(folder); n > 1 && folder[n - 1] == '/'; n--)
                folder[n - 1] = 0;
        slash = strrchr(folder, '/');
        if (slash)
                slash[1] = 0;
        fd = fd_open(slash ? folder : ".", O_PATH | O_DIRECTORY, 0);
        if (fd < 0)
                return fd;
        return faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

int file_check_create(const char *path) {
        size_t n = strlen(path);
        struct stat st;

        /* Not opened: the other end of a pipe would see it. */
        if (stat(path, &st) >= 0)
                return S_ISDIR(st.st_mode)                                        ? -EISDIR
                                : faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0 ? -errno
                                                                                  : 0;
        if (errno != ENOENT)
                return -errno;
        return n > 0 && path[n - 1] == '/' ? -EISDIR : file_check_parent(path);
}
