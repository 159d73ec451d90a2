/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "extract.h"
#include "fd.h"

#define COPY_SIZE (256u * 1024u)

int output_open(const char *path, Output *ret, char **reterr) {
        _cleanup_(output_done) Output o = OUTPUT_NONE;

        if (!path) {
                *ret = TAKE_STRUCT(o, OUTPUT_NONE);
                return 0;
        }
        o.path = strdup(path);
        if (!o.path)
                return -ENOMEM;
        if (mkdir(path, 0777) >= 0)
                o.made = true;
        else if (errno != EEXIST)
                return error_set(reterr, -errno, "--output: cannot create '%s': %m", path);
        o.directory = fd_open(path, O_RDONLY | O_DIRECTORY, 0);
        if (o.directory < 0)
                return error_set(reterr, o.directory, "--output: cannot open the directory '%s': %s", path,
                                strerror(-o.directory));
        *ret = TAKE_STRUCT(o, OUTPUT_NONE);
        return 0;
}

/* Where the file system has no files without a name. */
static int open_named(Output *o, OutputFile *f) {
        uint64_t salt;

        if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
                return -EIO;
        if (asprintf(&f->temporary, ".%s.%016llx", f->name, (unsigned long long) salt) < 0) {
                f->temporary = NULL;
                return -ENOMEM;
        }
        f->fd = openat(o->directory, f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                        0666);
        return f->fd < 0 ? -errno : 0;
}

int output_add(Output *o, const char *name, int *ret_fd, char **reterr) {
        OutputFile *f = &o->files[o->n_files];
        struct stat st;
        int r = 0;

        *ret_fd = -EBADF;
        if (o->directory < 0)
                return 0;
        assert(o->n_files < OUTPUT_FILES);
        if (fstatat(o->directory, name, &st, AT_SYMLINK_NOFOLLOW) >= 0)
                return error_set(reterr, -EEXIST,
                                "--output: '%s/%s' exists: remove it, or choose another directory", o->path,
                                name);
        *f = (OutputFile) { .name = name };
        f->fd = openat(o->directory, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
        if (f->fd < 0)
                r = errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL ? open_named(o, f) : -errno;
        if (r < 0)
                return error_set(reterr, r, "--output: cannot create '%s/%s': %s", o->path, name,
                                strerror(-r));
        o->n_files++;
        *ret_fd = f->fd;
        return 0;
}

static int keep_file(Output *o, OutputFile *f) {
        char link[32];

        if (f->temporary) {
                if (linkat(o->directory, f->temporary, o->directory, f->name, 0) < 0)
                        return -errno;
        } else {
                (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", f->fd);
                if (linkat(AT_FDCWD, link, o->directory, f->name, AT_SYMLINK_FOLLOW) < 0)
                        return -errno;
        }
        f->there = true;
        return 0;
}

int output_keep(Output *o, char **reterr) {
        FOREACH_ARRAY(f, o->files, o->n_files) {
                int r = fsync(f->fd) < 0 && errno != EINVAL ? -errno : keep_file(o, f);

                if (r < 0)
                        return error_set(reterr, r, "--output: cannot write '%s/%s': %s", o->path, f->name,
                                        strerror(-r));
        }
        return 0;
}

void output_done(Output *o) {
        FOREACH_ARRAY(f, o->files, o->n_files) {
                if (f->temporary)
                        (void) unlinkat(o->directory, f->temporary, 0);
                if (f->there && !o->kept)
                        (void) unlinkat(o->directory, f->name, 0);
                (void) fd_close(f->fd);
                free(f->temporary);
        }
        if (o->made && !o->kept)
                (void) rmdir(o->path);
        (void) fd_close(o->directory);
        free(o->path);
        *o = OUTPUT_NONE;
}

int output_copy(int from, int to, const char *name, Copied *ret, char **reterr) {
        _cleanup_free_ uint8_t *buf = malloc(COPY_SIZE);
        _cleanup_hash_ Hash *hash = NULL;
        Copied copied = {};
        int r = buf ? hash_new(HASH_SHA256, &hash) : -ENOMEM;

        while (r >= 0) {
                ssize_t n = read(from, buf, COPY_SIZE);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                copied.size += (uint64_t) n;
                r = hash_update(hash, buf, (size_t) n);
                if (r >= 0 && to >= 0)
                        r = fd_write_all(to, buf, (size_t) n);
                if (r < 0)
                        return error_set(reterr, r, "cannot write the %s: %s", name, strerror(-r));
        }
        if (r >= 0)
                r = hash_final(hash, copied.sha256);
        if (r >= 0)
                *ret = copied;
        return r;
}

int output_list(const Output *o, Json *j) {
        Json *list = js_array();
        int r = list ? 0 : -ENOMEM;

        FOREACH_ARRAY(f, o->files, r < 0 ? 0 : o->n_files) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, "%s/%s", o->path, f->name) < 0) {
                        path = NULL;
                        r = -ENOMEM;
                }
                if (r >= 0)
                        r = js_append(list, js_string(path));
                if (r < 0) {
                        js_unref(list);
                        return r;
                }
        }
        return r < 0 ? r : js_set(j, "written", list);
}
