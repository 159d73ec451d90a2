/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Before the first guest runs, cvmspawn is asked about the options and files of each. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "process.h"
#include "run-matrix.h"
#include "strutil.h"

#define SAID_MAX (64u * 1024u)

static int enter(void *userdata) {
        return fchdir(*(const int *) userdata) < 0 ? -errno : 0;
}

/* The last line without the program's name: the error message. */
static const char *message(char *text) {
        const char *line;
        size_t n = strlen(text);

        while (n > 0 && text[n - 1] == '\n')
                text[--n] = 0;
        line = strrchr(text, '\n');
        line = line ? line + 1 : text;
        return startswith(line, "cvmspawn: ") ?: line;
}

static int ask(const MatrixRun *m, const MatrixGuest *g, int said, int *ret, char **reterr) {
        _cleanup_strv_free_ char **argv = NULL;
        Process p = PROCESS_NONE;
        siginfo_t status;
        int r = strv_push(&argv, "cvmspawn");

        if (r >= 0)
                r = strv_push(&argv, "--print=config");
        STRV_FOREACH(a, g->arguments)
                if (r >= 0)
                        r = strv_push(&argv, *a);
        if (r >= 0)
                r = process_spawn(&(ProcessSpec) { .file = m->program,
                                                  .argv = argv,
                                                  .stdin_fd = -EBADF,
                                                  .stdout_fd = -EBADF,
                                                  .stderr_fd = said,
                                                  .prepare = enter,
                                                  .userdata = (void *) &m->source },
                                &p, reterr);
        if (r >= 0)
                r = process_wait(&p, UINT64_MAX, &status);
        if (r < 0)
                return r;
        *ret = (int) matrix_status(status.si_code, status.si_status);
        return 0;
}

static int check(const MatrixRun *m, const MatrixGuest *g, char **reterr) {
        _cleanup_close_ int said = memfd_new("matrix-check");
        _cleanup_free_ char *text = NULL;
        int status = 0, r = said < 0 ? said : ask(m, g, said, &status, reterr);
        size_t n;

        if (r < 0 || status == 0)
                return r;
        if (lseek(said, 0, SEEK_SET) < 0)
                return -errno;
        r = fd_read_all(said, SAID_MAX, &text, &n);
        if (r < 0)
                return r;
        return error_set(reterr, -EINVAL, "guest '%s': %s", g->name,
                        *message(text) ? message(text) : "refused by cvmspawn");
}

int matrix_check(const MatrixRun *m, char **reterr) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < m->n; i++)
                r = check(m, m->results[i].guest, reterr);
        return r;
}
