/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "sevsim-world.h"
#include "strutil.h"

static int copy_file(int from, int to, const char *name, int flags) {
        _cleanup_close_ int source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), target = -EBADF;
        char buffer[64 * 1024];
        struct stat st;
        ssize_t n;

        if (source < 0)
                return -errno;
        if (fstat(source, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADF;
        target = openat(to, name, O_WRONLY | O_CREAT | O_CLOEXEC | flags, st.st_mode & 0777);
        if (target < 0)
                return -errno;
        while ((n = read(source, buffer, sizeof(buffer))) > 0) {
                int r = fd_write_all(target, buffer, (size_t) n);
                if (r < 0)
                        return r;
        }
        return n < 0 ? -errno : 0;
}

static void remove_folder(int at, const char *name) {
        int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);

        for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
                (void) unlinkat(fd, e->d_name, 0); /* not "." and ".." */
        if (d)
                closedir(d);
        else if (fd >= 0)
                (void) close(fd);
        (void) unlinkat(at, name, AT_REMOVEDIR);
}

static int copy_files(int source, int target) {
        DIR *d = target < 0 ? NULL : fdopendir(dup(source));
        int r = 0;

        if (!d)
                return -errno;
        for (struct dirent *e = readdir(d); e && r == 0; e = readdir(d))
                if (e->d_name[0] != '.')
                        r = copy_file(source, target, e->d_name, O_EXCL);
        closedir(d);
        return r;
}

/* Under another name until all of it is there. */
static int copy_launch(int from, int to, const char *name, unsigned number) {
        _cleanup_close_ int source = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                            target = -EBADF;
        char new_name[32], part[32];
        int r;

        if (source < 0)
                return -errno;
        (void) snprintf(new_name, sizeof(new_name), "launch-%03u", number);
        (void) snprintf(part, sizeof(part), ".launch-%03u.part", number);
        if (mkdirat(to, part, 0755) < 0)
                return -errno;
        target = openat(to, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = copy_files(source, target);
        if (r >= 0 && renameat(to, part, to, new_name) < 0)
                r = -errno;
        if (r < 0)
                remove_folder(to, part);
        return r;
}

/* Beside the launches: what was added is taken back if it is not all of it. */
static int copy_beside(int from, int to, const char *name, int flags) {
        struct stat before;
        bool existed = fstatat(to, name, &before, AT_SYMLINK_NOFOLLOW) >= 0;
        int r = copy_file(from, to, name, flags), fd;

        if (r == -ENOENT)
                return 0;
        if (r >= 0)
                return r;
        if (!existed)
                (void) unlinkat(to, name, 0);
        else if (flags & O_APPEND) {
                fd = openat(to, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
                if (fd >= 0) {
                        (void) !ftruncate(fd, before.st_size);
                        (void) close(fd);
                }
        }
        return r;
}

static int is_launch(const struct dirent *e) {
        return startswith(e->d_name, "launch-") ? 1 : 0;
}

int sevsim_world_deliver(SevsimWorld *world, char **reterr) {
        _cleanup_close_ int from = -EBADF, to = -EBADF;
        static const char *const files[] = { "host.jsonl", "predicted-digest" };
        struct dirent **entries = NULL;
        int n, r = 0;

        if (!world->deliver)
                return 0;
        from = fd_open(world->record, O_RDONLY | O_DIRECTORY, 0);
        to = fd_open(world->deliver, O_RDONLY | O_DIRECTORY, 0);
        n = scandir(world->record, &entries, is_launch, alphasort);
        if (from < 0 || to < 0 || n < 0)
                r = -EIO;
        for (int i = 0; i < n && r == 0; i++)
                r = copy_launch(from, to, entries[i]->d_name, world->before + 1 + (unsigned) i);
        for (int i = 0; i < n; i++)
                free(entries[i]);
        free(entries);
        for (size_t i = 0; i < ELEMENTSOF(files) && r == 0; i++)
                r = copy_beside(from, to, files[i], i == 0 ? O_APPEND : O_TRUNC);
        if (r < 0)
                return error_set(reterr, r, "cannot keep the record in '%s': %s", world->deliver,
                                strerror(-r));
        free(world->record);
        world->record = TAKE_PTR(world->deliver);
        return 0;
}
