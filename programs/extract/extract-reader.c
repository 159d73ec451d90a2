/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* All parsing is done in a child that can open no file, start no program and reach no network; it has the image, two pipes and a memory file
 * for its report. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "confine.h"
#include "error.h"
#include "ext4.h"
#include "extract.h"
#include "fd.h"
#include "image.h"
#include "tar-reader.h"
#include "unpack.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SANITIZED 1 /* takes terabytes of addresses */
#else
#define SANITIZED 0
#endif

#define MEMORY_MAX  (UINT64_C(512) << 20)
#define CPU_SECONDS 120u
#define REPORT_MAX  (16u * 1024u * 1024u)

static const char *const system_calls[] = {
        "brk",
        "clock_gettime",
        "close",
        "exit",
        "exit_group",
        "fcntl",
        "fstat",
        "ftruncate",
        "futex",
        "getpid",
        "getrandom",
        "gettid",
        "lseek",
        "madvise",
        "mmap",
        "mprotect",
        "mremap",
        "munmap",
        "newfstatat",
        "pread64",
        "prlimit64",
        "read",
        "restart_syscall",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "sched_yield",
        "sigaltstack",
        "tgkill",
        "write",
        "writev",
};

typedef struct Child {
        const ReaderJob *job;
        int report, kernel, initrd;
        int parents[2]; /* ends of the pipes that are not the child's */
} Child;

static int limit(int resource, uint64_t value) {
        const struct rlimit l = { value, value };

        return setrlimit(resource, &l) < 0 ? -errno : 0;
}

static int confine(void) {
        int r = confine_no_new_privileges();

        if (r >= 0)
                r = limit(RLIMIT_CPU, CPU_SECONDS);
        if (r >= 0 && !SANITIZED)
                r = limit(RLIMIT_AS, MEMORY_MAX);
        if (r >= 0)
                r = limit(RLIMIT_CORE, 0);
        if (r >= 0)
                r = confine_capabilities(NULL, 0);
        if (r >= 0)
                r = confine_files();
        if (r == -EOPNOTSUPP) /* no Landlock: the filter refuses to open files, too */
                r = 0;
        if (r >= 0)
                r = confine_memory();
        if (r == -EOPNOTSUPP)
                r = 0;
        return r < 0 ? r : confine_system_calls(system_calls, ELEMENTSOF(system_calls));
}

static int write_report(int fd, const Json *j) {
        _cleanup_free_ char *text = js_text(j, JS_SHORT);

        if (!text)
                return -ENOMEM;
        if (lseek(fd, 0, SEEK_SET) < 0 || ftruncate(fd, 0) < 0)
                return -errno;
        return fd_write_all(fd, text, strlen(text));
}

static int read_image(Child *c, Image *image, char **reterr) {
        const ImageChoice choice = { c->job->kernel, c->job->entry, c->job->partition };
        _cleanup_(image_parts_done) ImageParts parts = {};
        _cleanup_js_ Json *j = NULL;
        size_t chosen;
        int r;

        r = image_open(c->job->image, c->job->kind, c->job->helper, image, reterr);
        if (r >= 0)
                r = image_find_entries(image, reterr);
        if (r < 0)
                return r;
        r = image_choose(image, &choice, &chosen, c->job->list ? NULL : reterr);
        if (c->job->list) {
                r = image_report(image, r >= 0 ? &chosen : NULL, NULL, &j, reterr);
                return r < 0 ? r : write_report(c->report, j);
        }
        if (r >= 0)
                r = image_locate(image, &image->entries.items[chosen], &choice, &parts, reterr);
        if (r >= 0)
                r = image_report(image, &chosen, &parts, &j, reterr);
        if (r >= 0)
                r = write_report(c->report, j);
        if (r >= 0)
                r = image_write_kernel(image, &parts, c->kernel, reterr);
        /* The parent reads one pipe to its end, and then the other. */
        c->kernel = fd_close(c->kernel);
        return r < 0 ? r : image_write_initrd(image, &parts, c->initrd, reterr);
}

static int read_container(Child *c, char **reterr) {
        _cleanup_(container_image_done) ContainerImage image = {};
        _cleanup_(container_file_done) ContainerFile file = {};
        _cleanup_js_ Json *j = NULL;
        int r = container_choose(c->job->container, c->job->name, &image, reterr);

        if (r >= 0)
                r = container_find(c->job->container, &image, c->job->path, &file, reterr);
        if (r >= 0)
                r = container_report(&image, &file, &j);
        if (r >= 0)
                r = write_report(c->report, j);
        return r < 0 ? r : fd_write_all(c->kernel, file.data, file.size);
}

static int child_main(void *userdata) {
        Child *c = userdata;
        _cleanup_free_ char *error = NULL;
        _cleanup_(image_done) Image image = {};
        Json *j = NULL;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(c->parents); i++)
                (void) fd_close(c->parents[i]);
        r = confine();
        if (r < 0)
                (void) error_set(&error, r, "cannot confine the program that reads the image: %s",
                                strerror(-r));
        else
                r = c->job->container ? read_container(c, &error) : read_image(c, &image, &error);
        if (r >= 0)
                return 0;
        j = js_object();
        if (j && js_set(j, "error", js_string(error ?: strerror(-r))) >= 0 &&
                        js_set(j, "errno", js_u64((uint64_t) -r)) >= 0)
                (void) write_report(c->report, j);
        js_unref(j);
        return 1;
}

/* What the child cannot load any more. */
static int prepare(const ReaderJob *job, char **reterr) {
        int r = job->container ? tar_prepare(reterr) : ext4_prepare(reterr);

        if (job->container)
                return r;
        if (r >= 0)
                r = unpack_prepare(UNPACK_DEFLATE, reterr);
        return r < 0 ? r : unpack_prepare(UNPACK_ZSTD, reterr);
}

int reader_start(const ReaderJob *job, Reader *ret, char **reterr) {
        int kernel[2] = { -EBADF, -EBADF }, initrd[2] = { -EBADF, -EBADF };
        _cleanup_(reader_done) Reader reader = READER_NONE;
        Child child = { .job = job };
        int r = prepare(job, reterr);

        if (r < 0)
                return r;
        reader.report = memfd_new("extract-report");
        if (reader.report < 0)
                return reader.report;
        if (pipe2(kernel, O_CLOEXEC) < 0)
                return -errno;
        reader.kernel = kernel[0];
        if (pipe2(initrd, O_CLOEXEC) < 0) {
                (void) fd_close(kernel[1]);
                return -errno;
        }
        reader.initrd = initrd[0];
        child.report = reader.report;
        child.kernel = kernel[1];
        child.initrd = initrd[1];
        child.parents[0] = kernel[0];
        child.parents[1] = initrd[0];
        r = process_fork(child_main, &child, &reader.process);
        (void) fd_close(kernel[1]);
        (void) fd_close(initrd[1]);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(reader, READER_NONE);
        return 0;
}

static int failure_of(const Json *j) {
        uint64_t number;

        return js_u64_value(js_get(j, "errno"), &number) < 0 || number == 0 || number > 4095 ? -EBADMSG
                                                                                             : -(int) number;
}

int reader_finish(Reader *r, Json **ret, char **reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        const char *error;
        siginfo_t status;
        size_t size;
        int k = process_wait(&r->process, UINT64_MAX, &status);

        if (k < 0)
                return k;
        if (status.si_code != CLD_EXITED)
                return error_set(reterr, -EIO,
                                "the program that reads the image was ended by signal %d (limits: %u s of CPU time, %llu MiB)",
                                status.si_status, CPU_SECONDS, (unsigned long long) (MEMORY_MAX >> 20));
        if (lseek(r->report, 0, SEEK_SET) < 0)
                return -errno;
        k = fd_read_all(r->report, REPORT_MAX, &text, &size);
        if (k >= 0)
                k = js_parse(text, size, &j, NULL);
        if (k < 0)
                return error_set(reterr, k, "the program that reads the image gave no report");
        error = js_string_value(js_get(j, "error"));
        if (error || status.si_status != 0)
                return error_set(reterr, failure_of(j), "%s",
                                error ?: "the program that reads the image failed");
        *ret = TAKE_PTR(j);
        return 0;
}

void reader_done(Reader *r) {
        r->kernel = fd_close(r->kernel);
        r->initrd = fd_close(r->initrd);
        process_done(&r->process);
        r->report = fd_close(r->report);
}
