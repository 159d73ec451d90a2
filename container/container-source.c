/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "container-source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container-path.h"
#include "error.h"
#include "fd.h"
#include "strutil.h"
#include "tar-reader.h"

#define READ_SIZE ((size_t) 256 * 1024)
#define LINKS_MAX 8u /* from one member of an archive to another one */

typedef struct SourceFile {
        char *name; /* owned */
        int fd;     /* owned */
} SourceFile;

struct ContainerSource {
        int archive;       /* weak; -EBADF: a folder */
        SourceFile *files; /* owned */
        size_t n_files;
};

struct ContainerStream {
        int fd; /* weak */
        uint64_t position;
        uint8_t *buf;   /* owned */
        TarReader *tar; /* owned; NULL: the file itself */
};

ContainerSource *container_source_free(ContainerSource *s) {
        if (!s)
                return NULL;
        FOREACH_ARRAY(f, s->files, s->n_files) {
                (void) fd_close(f->fd);
                free(f->name);
        }
        free(s->files);
        free(s);
        return NULL;
}

static int add_file(ContainerSource *s, int folder, const char *place, const char *name, char **reterr) {
        SourceFile *file;
        struct stat st;
        int r = 0;

        if (s->n_files >= CONTAINER_BLOBS_MAX)
                return error_set(reterr, -E2BIG, "more than %u files: expected the layout of one image",
                                CONTAINER_BLOBS_MAX);
        file = s->files + s->n_files;
        *file = (SourceFile) { .fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) };
        if (file->fd < 0)
                return errno == ENOENT ? 0
                                       : error_set(reterr, -errno, "cannot open '%s%s': %m", place, name);
        s->n_files++;
        if (fstat(file->fd, &st) < 0)
                r = -errno;
        else if (!S_ISREG(st.st_mode))
                r = error_set(reterr, -EINVAL, "'%s%s' is not a regular file", place, name);
        if (r >= 0 && asprintf(&file->name, "%s%s", place, name) < 0) {
                file->name = NULL;
                r = -ENOMEM;
        }
        return r;
}

/* blobs/ALGORITHM/: names of hexadecimal digits; what else is there belongs to nobody. */
static int add_blobs(ContainerSource *s, int fd, const char *algorithm, char **reterr) {
        char place[32];
        int folder, r = 0;
        DIR *d;

        (void) snprintf(place, sizeof(place), "blobs/%s/", algorithm);
        folder = openat(fd, place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folder < 0)
                return errno == ENOENT ? 0 : error_set(reterr, -errno, "cannot open '%s': %m", place);
        d = fdopendir(folder);
        if (!d) {
                r = -errno;
                (void) fd_close(folder);
                return r;
        }
        for (struct dirent *e = readdir(d); e && r >= 0; e = readdir(d))
                if (strspn(e->d_name, "0123456789abcdef") == strlen(e->d_name))
                        r = add_file(s, folder, place, e->d_name, reterr);
        (void) closedir(d);
        return r;
}

int container_open_folder(int fd, ContainerSource **ret, char **reterr) {
        _cleanup_container_source_ ContainerSource *s = calloc(1, sizeof(ContainerSource));
        int r;

        if (!s)
                return -ENOMEM;
        s->archive = -EBADF;
        s->files = calloc(CONTAINER_BLOBS_MAX, sizeof(SourceFile));
        if (!s->files)
                return -ENOMEM;
        r = add_file(s, fd, "", "oci-layout", reterr);
        if (r >= 0)
                r = add_file(s, fd, "", "index.json", reterr);
        if (r >= 0 && s->n_files < 2)
                r = error_set(reterr, -ENOENT,
                                "not an OCI image layout: it has no file '%s'; expected 'oci-layout', 'index.json' and 'blobs', as 'skopeo copy ... oci:DIR' writes them",
                                s->n_files == 0 ? "oci-layout" : "index.json");
        if (r >= 0)
                r = add_blobs(s, fd, "sha256", reterr);
        if (r >= 0)
                r = add_blobs(s, fd, "sha512", reterr);
        if (r >= 0)
                *ret = TAKE_PTR(s);
        return r;
}

int container_open_archive(int fd, ContainerSource **ret) {
        ContainerSource *s = calloc(1, sizeof(ContainerSource));

        if (!s)
                return -ENOMEM;
        s->archive = fd;
        *ret = s;
        return 0;
}

ContainerStream *container_stream_free(ContainerStream *s) {
        if (!s)
                return NULL;
        (void) tar_free(s->tar);
        free(s->buf);
        free(s);
        return NULL;
}

static int read_file(void *userdata, const uint8_t **ret, size_t *ret_size) {
        ContainerStream *s = userdata;
        ssize_t n;

        do
                n = pread(s->fd, s->buf, READ_SIZE, (off_t) s->position);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        s->position += (uint64_t) n;
        *ret = s->buf;
        *ret_size = (size_t) n;
        return 0;
}

static int64_t skip_file(void *userdata, int64_t size) {
        ContainerStream *s = userdata;

        s->position += (uint64_t) size;
        return size;
}

static int new_stream(int fd, ContainerStream **ret) {
        _cleanup_container_stream_ ContainerStream *s = calloc(1, sizeof(ContainerStream));

        if (!s)
                return -ENOMEM;
        s->fd = fd;
        s->buf = malloc(READ_SIZE);
        if (!s->buf)
                return -ENOMEM;
        *ret = TAKE_PTR(s);
        return 0;
}

/* 0: `name` is the member that comes next; 1: it is a link, and `name` is now where that leads to; -ENOENT. */
static int seek_member(ContainerStream *s, char name[static CONTAINER_PATH_MAX], char **reterr) {
        const TarSource source = { .read = read_file, .skip = skip_file, .userdata = s, .compressed = true };
        char member[CONTAINER_PATH_MAX], folder[CONTAINER_PATH_MAX];
        unsigned n = 0;
        TarEntry e;
        int r = tar_open(&source, &s->tar, reterr);

        while (r >= 0 && (r = tar_next(s->tar, &e, reterr)) > 0) {
                if (++n > CONTAINER_MEMBERS_MAX)
                        return error_set(reterr, -E2BIG,
                                        "more than %u members: expected an archive of container images",
                                        CONTAINER_MEMBERS_MAX);
                if (!e.name || container_path_clean(e.name, member) < 0 || !streq(member, name))
                        continue;
                if (e.type == TAR_FILE)
                        return 0;
                if ((e.type != TAR_SYMLINK && e.type != TAR_HARDLINK) || !e.target)
                        return error_set(reterr, -EBADMSG, "the member '%s' is not a file", name);
                memcpy(folder, member, strlen(member) + 1);
                *(strrchr(folder, '/') ?: folder) = 0;
                r = container_path_join(e.type == TAR_SYMLINK ? folder : "", e.target, "", name);
                return r < 0 ? r : 1;
        }
        return r < 0 ? r : -ENOENT;
}

static int open_member(ContainerSource *source, const char *name, ContainerStream **ret, char **reterr) {
        char wanted[CONTAINER_PATH_MAX];
        int r = container_path_clean(name, wanted);

        for (unsigned i = 0; r >= 0 && i < LINKS_MAX; i++) {
                _cleanup_container_stream_ ContainerStream *s = NULL;

                r = new_stream(source->archive, &s);
                if (r >= 0)
                        r = seek_member(s, wanted, reterr);
                if (r == 0) {
                        *ret = TAKE_PTR(s);
                        return 0;
                }
        }
        return r < 0 ? r : error_set(reterr, -ELOOP, "the member '%s' is a link that leads to links", name);
}

int container_stream_open(ContainerSource *s, const char *name, ContainerStream **ret, char **reterr) {
        if (s->archive >= 0)
                return open_member(s, name, ret, reterr);
        FOREACH_ARRAY(f, s->files, s->n_files)
                if (streq(f->name, name))
                        return new_stream(f->fd, ret);
        return -ENOENT;
}

int container_stream_read(ContainerStream *s, const uint8_t **ret, size_t *ret_size, char **reterr) {
        return s->tar ? tar_read(s->tar, ret, ret_size, reterr) : read_file(s, ret, ret_size);
}

int container_read(ContainerSource *s, const char *name, size_t max, char **ret, size_t *ret_size,
                char **reterr) {
        _cleanup_container_stream_ ContainerStream *stream = NULL;
        _cleanup_(text_done) Text text = {};
        int r = container_stream_open(s, name, &stream, reterr);

        while (r >= 0) {
                const uint8_t *p;
                size_t n;

                r = container_stream_read(stream, &p, &n, reterr);
                if (r < 0 || n == 0)
                        break;
                if (text.size + n > max)
                        return error_set(reterr, -E2BIG, "'%s' has more than %zu bytes", name, max);
                text_put_n(&text, (const char *) p, n);
        }
        if (r < 0)
                return r;
        *ret_size = text.size;
        return text_finish(&text, ret);
}
