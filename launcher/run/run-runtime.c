/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "strutil.h"

#define NAME_SHOWN 24 /* of the machine's name: socket paths have 107 bytes */
#define DEPTH_MAX  4u /* what is deeper is not ours */

typedef struct Folder {
        const char *base, *path;
} Folder;

static void remove_below(int parent, const char *name, unsigned depth) {
        int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
        const struct dirent *entry;

        if (!d) {
                (void) fd_close(fd);
                return;
        }
        while ((entry = readdir(d))) {
                if (streq(entry->d_name, ".") || streq(entry->d_name, ".."))
                        continue;
                if (unlinkat(dirfd(d), entry->d_name, 0) < 0 && errno == EISDIR && depth < DEPTH_MAX)
                        remove_below(dirfd(d), entry->d_name, depth + 1);
        }
        (void) closedir(d);
        (void) unlinkat(parent, name, AT_REMOVEDIR);
}

static int make_folder(const void *userdata) {
        const Folder *f = userdata;
        int r = mkdir(f->base, 0755) < 0 && errno != EEXIST ? -errno : 0;

        if (r >= 0)
                r = mkdir(f->path, 0700) < 0 ? -errno : 0;
        if (r < 0)
                (void) rmdir(f->base);
        return r;
}

static void remove_folder(const void *userdata) {
        const Folder *f = userdata;

        remove_below(AT_FDCWD, f->path, 0);
        /* The base stays where others use it. */
        (void) rmdir(f->base);
}

static int choose_base(char **ret) {
        const char *service = getenv("RUNTIME_DIRECTORY"), *user = getenv("XDG_RUNTIME_DIR");
        int r;

        if (service && *service == '/')
                r = asprintf(ret, "%.*s/cvmspawn", (int) strcspn(service, ":"), service);
        else if (geteuid() == 0)
                r = asprintf(ret, "/run/cvmspawn");
        else if (user && *user == '/')
                r = asprintf(ret, "%s/cvmspawn", user);
        else
                r = asprintf(ret, "%s/cvmspawn-%u", getenv("TMPDIR") ?: "/tmp", (unsigned) geteuid());
        return r < 0 ? -ENOMEM : 0;
}

int runtime_dir_make(const char *machine, RuntimeDir *ret, char **reterr) {
        _cleanup_(runtime_dir_done) RuntimeDir d = RUNTIME_DIR_NONE;
        _cleanup_free_ char *base = NULL;
        unsigned char random[4];
        int r;

        if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random))
                return -errno;
        r = choose_base(&base);
        if (r < 0)
                return r;
        if (asprintf(&d.path, "%s/%.*s-%02x%02x%02x%02x", base, NAME_SHOWN, machine ?: "cvm", random[0],
                            random[1], random[2], random[3]) < 0) {
                d.path = NULL;
                return -ENOMEM;
        }
        r = keeper_start(&(const KeeperJob) { .begin = make_folder,
                                         .end = remove_folder,
                                         .userdata = &(const Folder) { .base = base, .path = d.path } },
                        &d.keeper);
        if (r < 0)
                return error_set(reterr, r,
                                "cannot make the directory '%s' for keys and sockets: %s; $RUNTIME_DIRECTORY names another place",
                                d.path, strerror(-r));
        *ret = TAKE_STRUCT(d, RUNTIME_DIR_NONE);
        return 0;
}

void runtime_dir_done(RuntimeDir *d) {
        keeper_done(&d->keeper);
        free(d->path);
        *d = RUNTIME_DIR_NONE;
}
