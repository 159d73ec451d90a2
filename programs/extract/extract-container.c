/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A file out of a container image: OVMF for instance, as distributions ship it in images. The image is read where it is; only skopeo, which
 * fetches it from a registry, writes one to a temporary folder. */

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "error.h"
#include "extract.h"
#include "fd.h"
#include "strutil.h"
#include "tree.h"

/* A folder's files are all open at once. */
static void raise_limit(void) {
        struct rlimit l;

        if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur >= CONTAINER_BLOBS_MAX + 64)
                return;
        l.rlim_cur = MIN(l.rlim_max, (rlim_t) CONTAINER_BLOBS_MAX + 64);
        (void) setrlimit(RLIMIT_NOFILE, &l);
}

static int open_source(const char *path, int *ret_fd, ContainerSource **ret, char **reterr) {
        /* O_NONBLOCK: a pipe in the place of an image must not hang the program. */
        _cleanup_close_ int fd = fd_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
        struct stat st;
        int r;

        if (fd < 0)
                return error_set(reterr, fd, "cannot open '%s': %s", path, strerror(-fd));
        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode)) {
                raise_limit();
                r = container_open_folder(fd, ret, reterr);
        } else if (S_ISREG(st.st_mode))
                r = container_open_archive(fd, ret);
        else
                return error_set(reterr, -EINVAL,
                                "'%s' is not a regular file, expected a container image: a directory or a tar archive",
                                path);
        if (r < 0)
                return error_prefix(reterr, r, "'%s'", path);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Its messages go to standard error as they are. */
static int fetch(const char *image, const char *folder, char **reterr) {
        _cleanup_free_ char *skopeo = NULL, *target = NULL;
        _cleanup_(process_done) Process p = PROCESS_NONE;
        siginfo_t status;
        int r = process_find_program("skopeo", &skopeo);

        if (r >= 0 && !skopeo)
                return error_set(reterr, -ENOPKG,
                                "--registry= needs skopeo: install the package skopeo, or fetch the image elsewhere and pass it with --oci=");
        if (r < 0)
                return r;
        if (asprintf(&target, "oci:%s:image", folder) < 0) {
                target = NULL;
                return -ENOMEM;
        }
        char *argv[] = { skopeo, (char *) "copy", (char *) "--quiet", (char *) "--", (char *) image, target,
                NULL };
        r = process_spawn(&(ProcessSpec) { .file = skopeo,
                                          .argv = argv,
                                          .stdin_fd = -EBADF,
                                          .stdout_fd = -EBADF,
                                          .stderr_fd = 2 },
                        &p, reterr);
        if (r >= 0)
                r = process_wait(&p, UINT64_MAX, &status);
        if (r < 0)
                return r;
        process_forget(&p);
        if (status.si_code != CLD_EXITED || status.si_status != 0)
                return error_set(reterr, -EIO, "skopeo could not fetch '%s'", image);
        return 0;
}

static const char *file_name(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

static int add_file(Json *j, const Copied *copied) {
        Json *file = (Json *) js_get(j, "file");
        int r = js_set(file, "size", js_u64(copied->size));

        return r < 0 ? r : js_set(file, "sha256", js_hex(copied->sha256, sizeof(copied->sha256)));
}

static int take(const Arguments *a, const char *source, Output *output, Json **ret, char **reterr) {
        _cleanup_container_source_ ContainerSource *container = NULL;
        _cleanup_(reader_done) Reader reader = READER_NONE;
        ReaderJob job = { .image = -EBADF, .name = a->image, .path = a->path };
        _cleanup_close_ int fd = -EBADF;
        _cleanup_js_ Json *j = NULL;
        Copied copied = {};
        int to = -EBADF, r = open_source(source, &fd, &container, reterr);

        job.container = container;
        if (r >= 0)
                r = output_open(a->output, output, reterr);
        if (r >= 0)
                r = output_add(output, file_name(a->path), &to, reterr);
        if (r >= 0)
                r = reader_start(&job, &reader, reterr);
        if (r >= 0)
                r = output_copy(reader.kernel, to, "file", &copied, reterr);
        if (r < 0)
                return r;
        r = reader_finish(&reader, &j, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "'%s'", a->registry ?: source);
        r = add_file(j, &copied);
        if (r >= 0 && a->output)
                r = output_keep(output, reterr);
        if (r >= 0 && a->output)
                r = output_list(output, j);
        if (r >= 0)
                r = js_set(j, "source", js_string(a->registry ?: source));
        if (r >= 0)
                *ret = TAKE_PTR(j);
        return r;
}

int extract_container(const Arguments *a, Output *output, Json **ret, char **reterr) {
        _cleanup_tree_ char *folder = NULL;
        int r;

        if (!a->path)
                return error_set(reterr, -EINVAL,
                                "--path=PATH is missing: which file of the image, for instance --path=/usr/share/OVMF/OVMF_CODE.fd");
        if (!*file_name(a->path))
                return error_set(reterr, -EINVAL, "--path='%s' is a directory, expected a file", a->path);
        /* Names in archives are UTF-8; converting them would need files that the reader cannot open. */
        (void) setlocale(LC_CTYPE, "C.UTF-8");
        if (!a->registry)
                return take(a, a->oci, output, ret, reterr);
        r = tree_make_temporary("cvmspawn-extract", &folder, reterr);
        if (r >= 0)
                r = fetch(a->registry, folder, reterr);
        return r < 0 ? r : take(a, folder, output, ret, reterr);
}
