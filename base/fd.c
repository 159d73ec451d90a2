/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "overflow.h"

#define COPY_BUFFER_SIZE (128u * 1024u)
#define DEVICE_SIZE_MAX  (1024u * 1024u)

int fd_close(int fd) {
        if (fd >= 0) {
                int saved = errno;

                (void) close(fd);
                errno = saved;
        }
        return -EBADF;
}

int fd_open(const char *path, int flags, mode_t mode) {
        int fd = open(path, flags | O_CLOEXEC, mode);

        return fd < 0 ? -errno : fd;
}

int fd_open_regular(const char *path, uint64_t *ret_size) {
        /* O_NONBLOCK: a FIFO given by mistake must not hang the program. */
        _cleanup_close_ int fd = fd_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
        struct stat st;

        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (ret_size)
                *ret_size = (uint64_t) st.st_size;
        return TAKE_FD(fd);
}

int fd_read_exact(int fd, void *buf, size_t n) {
        for (size_t have = 0; have < n;) {
                ssize_t k = read(fd, (char *) buf + have, n - have);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        return -ENODATA;
                have += (size_t) k;
        }
        return 0;
}

int fd_pread_exact(int fd, void *buf, size_t n, uint64_t offset) {
        for (size_t have = 0; have < n;) {
                ssize_t k = pread(fd, (char *) buf + have, n - have, (off_t) (offset + have));

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        return -ENODATA;
                have += (size_t) k;
        }
        return 0;
}

int fd_write_all(int fd, const void *buf, size_t n) {
        for (size_t done = 0; done < n;) {
                ssize_t k = write(fd, (const char *) buf + done, n - done);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                done += (size_t) k;
        }
        return 0;
}

uint64_t fd_read_limit(int fd, uint64_t max) {
        struct stat st;

        return fstat(fd, &st) >= 0 && S_ISCHR(st.st_mode) && !isatty(fd) ? MIN(max, DEVICE_SIZE_MAX) : max;
}

int fd_read_all(int fd, size_t max, char **ret, size_t *ret_size) {
        _cleanup_free_ char *buf = NULL;
        size_t have = 0, capacity = 0, expected = 4096;
        struct stat st;

        max = (size_t) fd_read_limit(fd, max);
        /* A hint only: files of /proc say 0, and a file can grow. */
        if (fstat(fd, &st) >= 0 && S_ISREG(st.st_mode) && st.st_size > 0 && (uint64_t) st.st_size <= max)
                expected = MAX(expected, (size_t) st.st_size + 2);
        for (;;) {
                ssize_t k;

                if (capacity - have < 2) {
                        size_t want = MAX(expected, capacity * 2);
                        char *p = realloc(buf, want);

                        if (!p)
                                return -ENOMEM;
                        buf = p;
                        capacity = want;
                }
                k = read(fd, buf + have, capacity - have - 1);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                have += (size_t) k;
                if (have > max)
                        return -E2BIG;
        }

        buf[have] = 0;
        *ret = TAKE_PTR(buf);
        if (ret_size)
                *ret_size = have;
        return 0;
}

int cache_folder(const char *name, char **ret) {
        const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
        char *path = NULL;
        int r = 0;

        if (geteuid() == 0)
                r = asprintf(&path, "/var/cache/cvmspawn/%s", name);
        else if (xdg && xdg[0] == '/')
                r = asprintf(&path, "%s/cvmspawn/%s", xdg, name);
        else if (home && home[0] == '/')
                r = asprintf(&path, "%s/.cache/cvmspawn/%s", home, name);
        if (r < 0)
                return -ENOMEM;
        *ret = path;
        return 0;
}

int make_directories(const char *path) {
        _cleanup_free_ char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        if (!*copy)
                return -ENOENT;
        for (char *p = copy + 1;; p++)
                if (*p == '/' || !*p) {
                        char c = *p;

                        *p = 0;
                        if (mkdir(copy, 0755) < 0 && errno != EEXIST)
                                return -errno;
                        *p = c;
                        if (!c)
                                return 0;
                }
}

/* 1 if a pipe that does not block has data or a writer, 0 if not. tee(2) tells these apart without taking anything. */
static int pipe_has_writer(int fd) {
        _cleanup_close_ int from = -EBADF, to = -EBADF;
        int p[2];
        ssize_t n;

        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        from = p[0];
        to = p[1];
        n = tee(fd, to, 1, SPLICE_F_NONBLOCK);
        return n < 0 ? (errno == EAGAIN ? 1 : -errno) : n > 0;
}

#define PIPE_STEP_USEC 20000u

int fd_open_read(const char *path, uint64_t usec) {
        _cleanup_close_ int fd = fd_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
        struct stat st;
        int r = 0, flags;

        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        for (uint64_t waited = 0; S_ISFIFO(st.st_mode) && r == 0; waited += PIPE_STEP_USEC) {
                r = pipe_has_writer(fd);
                if (r < 0)
                        return r;
                if (r == 0 && waited >= usec)
                        return -ETIMEDOUT;
                if (r == 0)
                        (void) poll(NULL, 0, PIPE_STEP_USEC / 1000);
        }
        if (S_ISREG(st.st_mode))
                return TAKE_FD(fd);
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
                return -errno;
        return TAKE_FD(fd);
}

int file_read_all(const char *path, size_t max, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = fd_open_read(path, PIPE_WRITER_USEC);

        if (fd < 0)
                return fd;
        return fd_read_all(fd, max, ret, ret_size);
}

/* For files that sendfile() does not take. */
static int copy_by_buffer(int from, uint64_t at, int to, uint64_t end) {
        _cleanup_free_ char *buf = malloc(COPY_BUFFER_SIZE);

        if (!buf)
                return -ENOMEM;
        while (at < end) {
                size_t n = (size_t) MIN((uint64_t) COPY_BUFFER_SIZE, end - at);
                int r = fd_pread_exact(from, buf, n, at);

                if (r >= 0)
                        r = fd_write_all(to, buf, n);
                if (r < 0)
                        return r;
                at += n;
        }
        return 0;
}

/* sendfile() was the fastest of read and write, mmap with and without huge pages, splice and two threads each writing a
 * half: allocating the pages is most of the time, and copying them once in the kernel adds least to it. */
int fd_copy(int from, uint64_t offset, int to, uint64_t size) {
        off_t at = (off_t) offset;
        uint64_t end;

        if (!add_u64(offset, size, &end) || end > INT64_MAX)
                return -EOVERFLOW;
        while ((uint64_t) at < end) {
                ssize_t k = sendfile(to, from, &at, (size_t) (end - (uint64_t) at));

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0 && (errno == EINVAL || errno == ENOSYS))
                        return copy_by_buffer(from, (uint64_t) at, to, end);
                if (k < 0)
                        return -errno;
                if (k == 0)
                        return -ENODATA;
        }
        return 0;
}

int memfd_new(const char *name) {
        int fd;

#ifdef MFD_NOEXEC_SEAL
        /* Kernels since 6.3 warn when the caller does not say whether the memory may be executed. */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
        if (fd >= 0 || errno != EINVAL)
                return fd < 0 ? -errno : fd;
#endif
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        return fd < 0 ? -errno : fd;
}

int memfd_seal(int fd) {
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
                return -errno;
        return 0;
}

int memfd_new_sealed(const char *name, const void *p, size_t n) {
        _cleanup_close_ int fd = memfd_new(name);
        int r;

        if (fd < 0)
                return fd;
        r = fd_write_all(fd, p, n);
        if (r < 0)
                return r;
        r = memfd_seal(fd);
        if (r < 0)
                return r;
        return TAKE_FD(fd);
}
