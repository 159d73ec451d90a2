/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-child.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "process.h"
#include "strutil.h"

#define ANSWER_MAX (64u * 1024u * 1024u) /* a table has many rows */

int verb_child(const char *verb, char *const *arguments, int input, char **ret, int *ret_status,
                char **reterr) {
        _cleanup_close_ int out = memfd_new("answer");
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *text = NULL, *path = NULL;
        Process p = PROCESS_NONE;
        siginfo_t status;
        ProcessSpec spec = { .stdin_fd = input, .stdout_fd = out, .stderr_fd = -EBADF };
        size_t n;
        int r;

        if (out < 0)
                return out;
        r = strv_pushf(&argv, "cvmspawn %s", verb);
        STRV_FOREACH(s, arguments)
                if (r == 0)
                        r = strv_push(&argv, *s);
        if (r == 0)
                r = process_find_beside(verb, &path);
        if (r == -ENOENT)
                return error_set(reterr, r, "the program 'cvmspawn %s' is not installed beside this one",
                                verb);
        if (r < 0)
                return r;
        spec.file = path;
        spec.argv = argv;
        r = process_spawn(&spec, &p, reterr);
        if (r == 0)
                r = process_wait(&p, UINT64_MAX, &status);
        if (r < 0)
                return r;
        if (status.si_code != CLD_EXITED)
                return error_set(reterr, -EIO, "cvmspawn %s was ended by signal %d", verb, status.si_status);
        if (lseek(out, 0, SEEK_SET) < 0)
                return -errno;
        r = fd_read_all(out, ANSWER_MAX, &text, &n);
        if (r < 0)
                return r;
        if (n > 0 && text[n - 1] == '\n')
                text[n - 1] = 0;
        *ret = TAKE_PTR(text);
        *ret_status = status.si_status;
        return 0;
}

int measure_child_with(char *const *arguments, int input, char **ret, int *ret_status, char **reterr) {
        return verb_child("measure", arguments, input, ret, ret_status, reterr);
}

int measure_child(char *const *arguments, char **ret, int *ret_status, char **reterr) {
        return measure_child_with(arguments, -EBADF, ret, ret_status, reterr);
}
