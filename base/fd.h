/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* File descriptors: owned ints with the sentinel -EBADF, always O_CLOEXEC. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "macro.h"

int fd_close(int fd); /* takes any negative value; keeps errno; returns -EBADF */
static inline void fd_closep(int *fd) {
        *fd = fd_close(*fd);
}
#define _cleanup_close_ _cleanup_(fd_closep)

/* open(2) with O_CLOEXEC added: the descriptor or -errno. */
int fd_open(const char *path, int flags, mode_t mode);
/* Opens for reading and insists on a regular file (-EISDIR, -EINVAL); *ret_size is its size. */
int fd_open_regular(const char *path, uint64_t *ret_size);
/* Opens for reading. A named pipe that nobody opens for writing within `usec` microseconds is -ETIMEDOUT, instead of being waited for
 * without end; with a writer it is waited for. */
int fd_open_read(const char *path, uint64_t usec);
/* As long as a person who starts both by hand, or a busy machine, may need between the two. */
#define PIPE_WRITER_USEC (UINT64_C(10) * 1000 * 1000)
/* /var/cache/cvmspawn/NAME for root, else $XDG_CACHE_HOME/cvmspawn/NAME, ~/.cache/cvmspawn/NAME; *ret is owned, and NULL for somebody
 * without a home. The folder need not exist. */
_warn_unused_result_ int cache_folder(const char *name, char **ret);
/* mkdir -p: 0 also if it is there, or the errno. */
_warn_unused_result_ int make_directories(const char *path);
/* Reads or writes all n bytes: 0, -ENODATA on an early end, or the errno. */
_warn_unused_result_ int fd_read_exact(int fd, void *buf, size_t n);
_warn_unused_result_ int fd_pread_exact(int fd, void *buf, size_t n, uint64_t offset);
_warn_unused_result_ int fd_write_all(int fd, const void *buf, size_t n);
/* How many bytes of a file are worth reading where at most `max` are taken: a character device (but a terminal) gives zeros or random bytes
 * without end, and is given up after a megabyte. */
uint64_t fd_read_limit(int fd, uint64_t max);
/* The whole file as an owned, NUL-terminated string (the NUL is not counted): 0, -E2BIG over max, or the errno. */
_warn_unused_result_ int fd_read_all(int fd, size_t max, char **ret, size_t *ret_size);
_warn_unused_result_ int file_read_all(const char *path, size_t max, char **ret, size_t *ret_size);

/* Copies `size` bytes from `offset` on to the position of `to`, inside the kernel where it can: 0, -ENODATA if the file
 * is shorter, or the errno. The position of `from` does not move. */
_warn_unused_result_ int fd_copy(int from, uint64_t offset, int to, uint64_t size);

/* An anonymous file that can be sealed; `name` shows up in /proc only. */
int memfd_new(const char *name);
/* Makes content and size final (F_SEAL_WRITE|GROW|SHRINK|SEAL). */
_warn_unused_result_ int memfd_seal(int fd);
/* A sealed memfd with these bytes. */
int memfd_new_sealed(const char *name, const void *p, size_t n);
