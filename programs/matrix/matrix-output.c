/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The folder of results: NAME.log, results.jsonl, junit.xml, summary.md. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "atomic-file.h"
#include "error.h"
#include "fd.h"
#include "matrix-report.h"
#include "run-matrix.h"
#include "strutil.h"

#define FOLDER   "matrix-results"
#define LINES    "results.jsonl"
#define TAIL_MAX (64u * 1024u)

static const char *folder_of(const Arguments *a) {
        return a->output ?: FOLDER;
}

static int failed(const Arguments *a, int r, const char *name, char **reterr) {
        return error_set(reterr, r, "cannot write '%s/%s': %s", folder_of(a), name, strerror(-r));
}

/* What an earlier run left must not be taken for this one's. */
static int forget(const Arguments *a, const MatrixRun *m, char **reterr) {
        static const char *const names[] = { LINES, "junit.xml", "summary.md" };

        FOREACH_ARRAY(name, names, ELEMENTSOF(names))
                if (unlinkat(m->output, *name, 0) < 0 && errno != ENOENT)
                        return error_set(reterr, -errno, "cannot remove '%s/%s' of an earlier run: %m",
                                        folder_of(a), *name);
        return 0;
}

static int open_at(const MatrixRun *m, const char *name, int flags, char **reterr) {
        int fd = openat(m->output, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags,
                        0666);

        return fd < 0 ? failed(m->args, -errno, name, reterr) : fd;
}

int matrix_output_open(const Arguments *a, MatrixRun *m, char **reterr) {
        int r = make_directories(folder_of(a));

        if (r >= 0) {
                m->output = fd_open(folder_of(a), O_RDONLY | O_DIRECTORY, 0);
                r = m->output < 0 ? m->output : 0;
        }
        if (r < 0)
                return error_set(reterr, r, "--output: cannot make the directory '%s': %s", folder_of(a),
                                strerror(-r));
        r = forget(a, m, reterr);
        if (r < 0)
                return r;
        m->lines = open_at(m, LINES, O_EXCL, reterr);
        return m->lines < 0 ? m->lines : 0;
}

int matrix_output_log(const MatrixRun *m, const MatrixResult *r, char **reterr) {
        _cleanup_free_ char *name = NULL;
        int k = matrix_log_name(r->guest, r->attempts, &name);

        return k < 0 ? k : open_at(m, name, O_TRUNC, reterr);
}

/* Whole lines or none: a full disk does not leave the beginning of one. */
static int append(const MatrixRun *m, const char *text, size_t n, char **reterr) {
        struct stat before;
        int r;

        if (fstat(m->lines, &before) < 0)
                return failed(m->args, -errno, LINES, reterr);
        r = fd_write_all(m->lines, text, n);
        if (r >= 0)
                return 0;
        (void) !ftruncate(m->lines, before.st_size);
        return failed(m->args, r, LINES, reterr);
}

int matrix_output_line(const MatrixRun *m, const MatrixResult *r, char **reterr) {
        _cleanup_free_ char *line = NULL, *text = NULL;
        _cleanup_js_ Json *j = NULL;
        int k = matrix_result_to_json(r, &j);

        if (k < 0)
                return k;
        text = js_text(j, JS_SHORT);
        if (!text || asprintf(&line, "%s\n", text) < 0) {
                line = NULL;
                return -ENOMEM;
        }
        k = append(m, line, strlen(line), reterr);
        if (k >= 0 && m->args->common.json)
                k = verb_print_json(j, m->args->common.style);
        if (k >= 0 && fflush(stdout) != 0)
                k = error_set(reterr, -errno, "cannot write to standard output: %m");
        return k;
}

/* The end of the last attempt's log, from the beginning of a line. */
static char *tail_of(const MatrixResult *r, void *userdata) {
        const MatrixRun *m = userdata;
        _cleanup_free_ char *name = NULL, *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *line;
        struct stat st;
        uint64_t from;
        size_t n;

        if (matrix_log_name(r->guest, r->attempts, &name) < 0)
                return NULL;
        fd = openat(m->output, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
                return NULL;
        n = (size_t) MIN((uint64_t) st.st_size, (uint64_t) TAIL_MAX);
        from = (uint64_t) st.st_size - n;
        text = malloc(n + 1);
        if (!text || fd_pread_exact(fd, text, n, from) < 0)
                return NULL;
        for (size_t i = 0; i < n; i++)
                text[i] = text[i] ? text[i] : ' ';
        text[n] = 0;
        line = from > 0 ? strchr(text, '\n') : NULL;
        return line ? strdup(line + 1) : TAKE_PTR(text);
}

static int write_file(const MatrixRun *m, const char *name, const char *text, char **reterr) {
        _cleanup_free_ char *path = NULL;
        int r;

        if (asprintf(&path, "%s/%s", folder_of(m->args), name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = file_write_atomic(path, text, strlen(text), 0666, ATOMIC_FILE_REPLACE);
        return r < 0 ? failed(m->args, r, name, reterr) : 0;
}

int matrix_output_finish(const MatrixRun *m, const char *name, char **reterr) {
        const char *slash = strrchr(name, '/');
        const char *base = slash ? slash + 1 : name;
        _cleanup_free_ char *junit = NULL, *markdown = NULL;
        int r = matrix_to_junit(base, m->results, m->n, tail_of, (void *) m, &junit);

        if (r >= 0)
                r = write_file(m, "junit.xml", junit, reterr);
        if (r >= 0)
                r = matrix_to_markdown(base, m->results, m->n, &markdown);
        return r < 0 ? r : write_file(m, "summary.md", markdown, reterr);
}
