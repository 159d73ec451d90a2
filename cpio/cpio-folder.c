/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "cpio-folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpio-newc.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"

typedef struct Packer {
        const char *source; /* for messages */
        int memfd;
        uint64_t size;
        uint32_t members;
        char **reterr;
} Packer;

static int put(Packer *p, const char *path, uint32_t mode, const void *data, uint64_t size) {
        uint64_t n = newc_member_size(strlen(path), size);
        const NewcMember m = {
                .path = path, .ino = ++p->members, .mode = mode, .nlink = 1, .size = (uint32_t) size
        };
        _cleanup_free_ uint8_t *buffer = NULL;
        ByteWriter w;
        int r;

        if (n == 0 || p->members > CPIO_FOLDER_FILES_MAX || p->size + n > CPIO_FOLDER_BYTES_MAX)
                return error_set(p->reterr, -EFBIG,
                                "'%s' has more than %u files or %u MiB, or names of more than %u bytes: use a disk (--extra-drive=) for more",
                                p->source, CPIO_FOLDER_FILES_MAX, (unsigned) (CPIO_FOLDER_BYTES_MAX >> 20),
                                NEWC_NAME_MAX - 1);
        buffer = malloc(n);
        if (!buffer)
                return -ENOMEM;
        w = byte_writer(buffer, n);
        newc_write(&w, &m, data);
        r = byte_writer_finish(&w, n);
        if (r >= 0)
                r = fd_write_all(p->memfd, buffer, n);
        p->size += n;
        return r;
}

static int foul(const Packer *p, const char *path, const char *why, int r) {
        return error_set(p->reterr, r, "'%s': cannot pack '%s' of the guest: %s", p->source, path, why);
}

static int pack_file(Packer *p, int folder, const char *name, const char *path) {
        _cleanup_close_ int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        _cleanup_free_ char *data = NULL;
        struct stat st;
        char more;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return foul(p, path, strerror(errno), -errno);
        if (!S_ISREG(st.st_mode))
                return foul(p, path, "it changed meanwhile", -EAGAIN);
        if ((uint64_t) st.st_size > CPIO_FOLDER_BYTES_MAX)
                return put(p, path, 0, NULL, CPIO_FOLDER_BYTES_MAX);
        data = malloc((size_t) st.st_size + 1);
        if (!data)
                return -ENOMEM;
        r = fd_pread_exact(fd, data, (size_t) st.st_size, 0);
        if (r < 0 || pread(fd, &more, 1, st.st_size) != 0)
                return foul(p, path, "it changed while it was read", -EAGAIN);
        return put(p, path, S_IFREG | (st.st_mode & S_IXUSR ? 0755 : 0644), data, (uint64_t) st.st_size);
}

static int pack_link(Packer *p, int folder, const char *name, const char *path) {
        char target[PATH_MAX];
        ssize_t n = readlinkat(folder, name, target, sizeof(target));

        if (n < 0)
                return foul(p, path, strerror(errno), -errno);
        return n == sizeof(target) ? foul(p, path, "its target is too long", -EBADMSG)
                                   : put(p, path, S_IFLNK | 0777, target, (uint64_t) n);
}

static int by_name(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Takes fd. The names in the order of their bytes. */
static int read_names(int fd, char ***ret) {
        _cleanup_strv_free_ char **names = NULL;
        DIR *d = fdopendir(fd);
        int r = 0;

        if (!d) {
                r = -errno;
                (void) fd_close(fd);
                return r;
        }
        errno = 0;
        for (struct dirent *e = readdir(d); e && r >= 0; e = readdir(d)) {
                if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
                        r = strv_push(&names, e->d_name);
                errno = 0;
        }
        r = r < 0 ? r : -errno;
        (void) closedir(d);
        if (r < 0)
                return r;
        if (names)
                qsort(names, strv_length(names), sizeof(char *), by_name);
        *ret = TAKE_PTR(names);
        return 0;
}

static int pack_folder(Packer *p, int fd, const char *path, unsigned depth);

static int pack_entry(Packer *p, int folder, const char *name, const char *path, unsigned depth) {
        struct stat st;
        int fd;

        if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return foul(p, path, strerror(errno), -errno);
        if (S_ISREG(st.st_mode))
                return pack_file(p, folder, name, path);
        if (S_ISLNK(st.st_mode))
                return pack_link(p, folder, name, path);
        if (!S_ISDIR(st.st_mode))
                return foul(p, path, "only files, folders and symbolic links can be in an archive",
                                -EBADMSG);
        if (depth >= CPIO_FOLDER_DEPTH_MAX)
                return foul(p, path, "the folders are too deep", -EFBIG);
        fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? foul(p, path, strerror(errno), -errno) : pack_folder(p, fd, path, depth + 1);
}

/* Takes fd. */
static int pack_folder(Packer *p, int fd, const char *path, unsigned depth) {
        _cleanup_close_ int folder = fd, again = -EBADF;
        _cleanup_strv_free_ char **names = NULL;
        int r;

        r = put(p, path, S_IFDIR | 0755, NULL, 0);
        if (r < 0)
                return r;
        again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = again < 0 ? -errno : read_names(TAKE_FD(again), &names);
        if (r < 0)
                return foul(p, path, strerror(-r), r);
        STRV_FOREACH(name, names) {
                _cleanup_free_ char *below = NULL;

                if (asprintf(&below, "%s/%s", path, *name) < 0) {
                        below = NULL;
                        return -ENOMEM;
                }
                r = pack_entry(p, folder, *name, below, depth);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* /srv/app/data: srv and srv/app. */
static int pack_parents(Packer *p, char *target) {
        for (char *slash = strchr(target, '/'); slash; slash = strchr(slash + 1, '/')) {
                int r;

                *slash = 0;
                r = put(p, target, S_IFDIR | 0755, NULL, 0);
                *slash = '/';
                if (r < 0)
                        return r;
        }
        return 0;
}

int cpio_pack_folder(const char *source, const char *target, uint64_t *ret_size, char **reterr) {
        _cleanup_close_ int memfd = memfd_new("cvmspawn-folder"), fd = -EBADF;
        _cleanup_free_ char *path = strdup(target + strspn(target, "/"));
        Packer p = { .source = source, .memfd = memfd, .reterr = reterr };
        int r;

        if (memfd < 0 || !path)
                return memfd < 0 ? memfd : -ENOMEM;
        fd = open(source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_set(reterr, -errno, "cannot open '%s': %s", source, strerror(errno));
        r = pack_parents(&p, path);
        if (r >= 0)
                r = pack_folder(&p, TAKE_FD(fd), path, 0);
        if (r < 0)
                return r;
        p.members = UINT32_MAX; /* the trailer's number is 0 */
        r = put(&p, NEWC_TRAILER, 0, NULL, 0);
        if (r < 0)
                return r;
        *ret_size = p.size;
        return TAKE_FD(memfd);
}
