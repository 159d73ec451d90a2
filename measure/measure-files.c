/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "initrd-padding.h"
#include "strutil.h"

/* What is read from a pipe stays in memory. */
#define STREAM_SIZE_MAX (1024u * 1024u * 1024u)

static int keep_fd(MeasureRequest *r, int fd) {
        int *fds = reallocarray(r->fds, r->n_fds + 1, sizeof(int));

        if (!fds) {
                (void) fd_close(fd);
                return -ENOMEM;
        }
        r->fds = fds;
        fds[r->n_fds++] = fd;
        return 0;
}
/* A pipe or /dev/null has no size to plan with: its bytes become a file in memory. */
static int copy_stream(const char *path, uint64_t *ret_size) {
        _cleanup_close_ int in = fd_open_read(path, PIPE_WRITER_USEC), out = memfd_new("stream");
        uint64_t size = 0;
        char buffer[16384];

        if (in < 0 || out < 0)
                return in < 0 ? in : out;
        for (;;) {
                ssize_t n = read(in, buffer, sizeof(buffer));
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                size += (uint64_t) n;
                if (size > STREAM_SIZE_MAX)
                        return -EFBIG;
                r = fd_write_all(out, buffer, (size_t) n);
                if (r < 0)
                        return r;
        }
        *ret_size = size;
        return TAKE_FD(out);
}

static int open_file(const char *path, uint64_t *ret_size) {
        int fd = fd_open_regular(path, ret_size);

        return fd == -EINVAL ? copy_stream(path, ret_size) : fd;
}
void request_files_done(RequestFiles *f) {
        FOREACH_ARRAY(i, f->items, f->n_items) {
                free(i->path);
                (void) fd_close(i->fd);
        }
        free(f->items);
        f->scratch = fd_close(f->scratch);
        *f = REQUEST_FILES_NONE;
}

static int shared_file(RequestFiles *f, const char *path, uint64_t *ret_size) {
        struct RequestFile *items, file = {};

        FOREACH_ARRAY(i, f->items, f->n_items)
                if (streq(i->path, path)) {
                        *ret_size = i->size;
                        return i->fd;
                }
        items = reallocarray(f->items, f->n_items + 1, sizeof(*items));
        if (!items)
                return -ENOMEM;
        f->items = items;
        file.path = strdup(path);
        if (!file.path)
                return -ENOMEM;
        file.fd = open_file(path, &file.size);
        if (file.fd < 0) {
                free(file.path);
                return file.fd;
        }
        items[f->n_items++] = file;
        *ret_size = file.size;
        return file.fd;
}

int measure_request_open(MeasureRequest *r, const char *path, PlanInput *in, char **reterr) {
        uint64_t size = 0;
        int fd = r->files ? shared_file(r->files, path, &size) : open_file(path, &size);

        if (fd == -ETIMEDOUT)
                return error_set(reterr, fd,
                                "'%s' is a named pipe, and no program opened it for writing within %u s",
                                path, (unsigned) (PIPE_WRITER_USEC / 1000000));
        if (fd < 0)
                return error_set(reterr, fd, "cannot open '%s': %s", path, strerror(-fd));
        if (!r->files) {
                int k = keep_fd(r, fd);

                if (k < 0)
                        return k;
        }
        return plan_input_add(in, path, fd, 0, size);
}

static int shared_bytes(RequestFiles *f, const char *label, const void *p, size_t n, PlanInput *in) {
        uint64_t at = f->scratch_end;

        if (f->scratch < 0) {
                f->scratch = memfd_new("batch");
                if (f->scratch < 0)
                        return f->scratch;
        }
        for (size_t done = 0; done < n;) {
                ssize_t k = pwrite(f->scratch, (const char *) p + done, n - done, (off_t) (at + done));

                if (k < 0 && errno != EINTR)
                        return -errno;
                done += k > 0 ? (size_t) k : 0;
        }
        f->scratch_end += n;
        return plan_input_add(in, label, f->scratch, at, n);
}

int measure_request_bytes(MeasureRequest *r, const char *label, const void *p, size_t n, PlanInput *in) {
        int fd, k;

        if (r->files)
                return shared_bytes(r->files, label, p, n, in);
        fd = memfd_new(label);
        if (fd < 0)
                return fd;
        k = keep_fd(r, fd);
        if (k < 0)
                return k;
        k = fd_write_all(fd, p, n);
        return k < 0 ? k : plan_input_add(in, label, fd, 0, n);
}

int measure_request_pad(PlanInput *in) {
        const PlanPart *last = in->n_parts > 0 ? in->parts + in->n_parts - 1 : NULL;
        uint64_t size = plan_input_size(in), next;
        int r;

        if (!last)
                return 0;
        r = initrd_next_offset(size, initrd_needs_lz4_end(last->fd, last->offset, last->length), &next);
        if (r < 0 || next == size)
                return r;
        return plan_input_add(in, "padding", -EBADF, 0, next - size);
}
