/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "atomic-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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

/* What becomes of one file; a temporary name is there to remove until it is moved. */
typedef struct Writing {
        char *temporary; /* owned; NULL: none was written */
        bool direct;     /* no regular file */
        bool linked;
} Writing;

static int prepare(const AtomicFile *f, unsigned flags, Writing *w) {
        _cleanup_free_ char *temporary = NULL;
        struct stat st;
        int r;

        if ((flags & ATOMIC_FILE_REPLACE) && stat(f->path, &st) >= 0 && !S_ISREG(st.st_mode)) {
                w->direct = true;
                return S_ISDIR(st.st_mode) ? -EISDIR : 0;
        }
        r = temporary_name(f->path, &temporary);
        if (r < 0)
                return r;
        r = fill(temporary, f->data, f->size, f->mode, flags);
        if (r == -EEXIST) /* somebody else's: not ours to remove */
                return -EAGAIN;
        w->temporary = TAKE_PTR(temporary);
        return r;
}

static int move(const AtomicFile *f, unsigned flags, Writing *w) {
        if (w->direct)
                return write_direct(f->path, f->data, f->size);
        /* link() refuses an existing name, where rename() would replace it */
        if (!(flags & ATOMIC_FILE_REPLACE)) {
                w->linked = link(w->temporary, f->path) >= 0;
                return w->linked ? 0 : -errno;
        }
        if (rename(w->temporary, f->path) < 0)
                return -errno;
        free(w->temporary);
        w->temporary = NULL;
        return 0;
}

static int write_all(const AtomicFile *files, size_t n, unsigned flags, Writing *w, size_t *i) {
        int r = 0;

        for (*i = 0; *i < n && r >= 0; ++*i)
                r = prepare(files + *i, flags, w + *i);
        /* What may still fail for want of room is written first, before files are replaced. */
        for (unsigned direct = 2; direct-- > 0 && r >= 0;)
                for (*i = 0; *i < n && r >= 0; ++*i)
                        if (w[*i].direct == (direct > 0))
                                r = move(files + *i, flags, w + *i);
        if (r < 0)
                --*i;
        return r;
}

int files_write_atomic(const AtomicFile *files, size_t n, unsigned flags, size_t *ret_failed) {
        _cleanup_free_ Writing *writings = calloc(MAX(n, 1u), sizeof(Writing));
        size_t failed = 0;
        int r = writings ? write_all(files, n, flags, writings, &failed) : -ENOMEM;

        for (size_t i = 0; writings && i < n; i++) {
                if (writings[i].temporary)
                        (void) unlink(writings[i].temporary);
                free(writings[i].temporary);
                if (r < 0 && writings[i].linked)
                        (void) unlink(files[i].path);
        }
        if (r < 0 && ret_failed)
                *ret_failed = failed;
        return r;
}

int file_write_atomic(const char *path, const void *p, size_t n, mode_t mode, unsigned flags) {
        return files_write_atomic(&(const AtomicFile) { path, p, n, mode }, 1, flags, NULL);
}
