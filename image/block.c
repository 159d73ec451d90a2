/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "block.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"

static int read_fd(const Block *b, uint64_t offset, void *buf, size_t n, char **reterr) {
        int r = fd_pread_exact((int) (intptr_t) b->userdata, buf, n, offset);

        return r < 0 ? error_set(reterr, r, "cannot read %zu bytes at offset %llu: %s", n,
                                       (unsigned long long) offset,
                                       r == -ENODATA ? "the file is shorter" : strerror(-r))
                     : 0;
}

int block_from_fd(int fd, Block *ret, char **reterr) {
        off_t size = lseek(fd, 0, SEEK_END);

        if (size < 0)
                return error_set(reterr, -errno, "cannot determine the size: %m");
        *ret = (Block) { .read = read_fd, .userdata = (void *) (intptr_t) fd, .size = (uint64_t) size };
        return 0;
}

static bool inside(const Block *b, uint64_t offset, uint64_t n) {
        return offset <= b->size && n <= b->size - offset;
}

int block_part(const Block *b, uint64_t offset, uint64_t size, Block *ret, char **reterr) {
        if (!inside(b, offset, size))
                return error_set(reterr, -ENODATA,
                                "%llu bytes at offset %llu extend beyond the end of the disk, which has %llu bytes: the image is truncated or damaged",
                                (unsigned long long) size, (unsigned long long) offset,
                                (unsigned long long) b->size);
        *ret = *b;
        ret->start += offset;
        ret->size = size;
        return 0;
}

int block_read(const Block *b, uint64_t offset, void *buf, size_t n, char **reterr) {
        _cleanup_free_ char *error = NULL;
        int r;

        if (!inside(b, offset, n))
                return error_set(reterr, -ENODATA,
                                "%zu bytes at offset %llu extend beyond the end, at %llu: the image is truncated or damaged",
                                n, (unsigned long long) offset, (unsigned long long) b->size);
        r = b->read(b, b->start + offset, buf, n, &error);
        if (r >= 0)
                return 0;
        (void) error_set(reterr, r, "%s", error ?: strerror(-r));
        if (b->failure && b->failure->error == 0 && r != -ENOMEM)
                *b->failure = (BlockFailure) { .error = r, .reason = TAKE_PTR(error) };
        return r;
}
