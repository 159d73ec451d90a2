/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "extract-child.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "kernel-header.h"
#include "process.h"
#include "strutil.h"

#define ANSWER_MAX (16u * 1024u * 1024u)

void extract_child_done(ExtractChild *c) {
        (void) fd_close(c->kernel);
        (void) fd_close(c->initrd);
        js_unref(c->finding);
        *c = EXTRACT_CHILD_NONE;
}

static int arguments(const char *image, const char *format, char *const *backing, const ExtractChild *c,
                char ***ret) {
        _cleanup_strv_free_ char **argv = NULL;
        int r = strv_push(&argv, "cvmspawn extract");

        if (r >= 0)
                r = strv_pushf(&argv, "--kernel-fd=%d", c->kernel);
        if (r >= 0)
                r = strv_pushf(&argv, "--initrd-fd=%d", c->initrd);
        if (r >= 0 && format)
                r = strv_pushf(&argv, "--format=%s", format);
        STRV_FOREACH(b, r < 0 ? NULL : (char **) backing) {
                r = strv_pushf(&argv, "--backing-file=%s", *b);
                if (r < 0)
                        break;
        }
        if (r >= 0)
                r = strv_push(&argv, "--json=short");
        if (r >= 0)
                r = strv_push(&argv, "--");
        if (r >= 0)
                r = strv_push(&argv, image);
        if (r >= 0)
                *ret = TAKE_PTR(argv);
        return r;
}

static int run(char *const *argv, const ExtractChild *c, int out, char **reterr) {
        const int keep[] = { c->kernel, c->initrd };
        _cleanup_free_ char *path = NULL;
        Process p = PROCESS_NONE;
        siginfo_t status;
        ProcessSpec spec = { .argv = argv,
                .stdin_fd = -EBADF,
                .stdout_fd = out,
                .stderr_fd = -EBADF,
                .keep_fds = keep,
                .n_keep_fds = ELEMENTSOF(keep) };
        int r = process_find_beside("extract", &path);

        if (r == -ENOENT)
                return error_set(reterr, -ENOPKG,
                                "the program 'cvmspawn extract' is not installed beside this one");
        if (r < 0)
                return r;
        spec.file = path;
        r = process_spawn(&spec, &p, reterr);
        if (r >= 0)
                r = process_wait(&p, UINT64_MAX, &status);
        if (r < 0)
                return r;
        return status.si_code == CLD_EXITED
                        ? 0
                        : error_set(reterr, -EIO, "cvmspawn extract was ended by signal %d",
                                          status.si_status);
}

static int read_answer(int out, Json **ret, char **reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        uint64_t number = EBADMSG;
        size_t size;
        int r;

        if (lseek(out, 0, SEEK_SET) < 0)
                return -errno;
        r = fd_read_all(out, ANSWER_MAX, &text, &size);
        if (r >= 0)
                r = js_parse(text, size, &j, reterr);
        if (r < 0)
                return error_set(reterr, r, "cvmspawn extract gave no answer");
        if (js_get(j, "error")) {
                if (js_u64_value(js_get(j, "errno"), &number) < 0 || number == 0 || number > 4095)
                        number = EBADMSG;
                return error_set(reterr, -(int) number, "%s",
                                js_string_value(js_get(j, "error")) ?: "failed");
        }
        *ret = TAKE_PTR(j);
        return 0;
}

int extract_child(const char *image, const char *format, char *const *backing, ExtractChild *ret,
                char **reterr) {
        _cleanup_(extract_child_done) ExtractChild c = EXTRACT_CHILD_NONE;
        _cleanup_close_ int out = memfd_new("extract-answer");
        _cleanup_strv_free_ char **argv = NULL;
        int r;

        c.kernel = memfd_new("extract-kernel");
        c.initrd = memfd_new("extract-initrd");
        if (out < 0 || c.kernel < 0 || c.initrd < 0)
                return error_set(reterr, -ENOMEM, "cannot create a memory file");
        r = arguments(image, format, backing, &c, &argv);
        if (r >= 0)
                r = run(argv, &c, out, reterr);
        if (r >= 0)
                r = read_answer(out, &c.finding, reterr);
        if (r >= 0)
                r = memfd_seal(c.kernel);
        if (r >= 0)
                r = memfd_seal(c.initrd);
        if (r < 0)
                return r;
        if (js_is_null(js_get(c.finding, "initrd")))
                c.initrd = fd_close(c.initrd);
        *ret = TAKE_STRUCT(c, EXTRACT_CHILD_NONE);
        return 0;
}

int extract_kernel_problems(const Json *kernel, char ***list) {
        const char *version = js_string_value(js_get(kernel, "version"));
        const char *driver = js_string_value(js_get(kernel, "sev-guest-driver"));
        bool bzimage = true;
        int r = 0;

        (void) !js_bool_value(js_get(kernel, "bzimage"), &bzimage);
        if (!bzimage)
                r = strv_push(list,
                                "the kernel is not a bzImage ('HdrS' is missing at offset 0x202), which kernel hashes require");
        else if (version && kernel_before_snp(version))
                r = strv_pushf(list, "the kernel is Linux %s: SEV-SNP guests need Linux 5.19", version);
        if (r >= 0 && driver && streq(driver, "n"))
                r = strv_push(list,
                                "the kernel is built without CONFIG_SEV_GUEST: an SEV-SNP guest cannot get attestation reports from it");
        return r;
}
