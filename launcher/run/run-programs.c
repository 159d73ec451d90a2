/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-programs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "strutil.h"

#define ANSWER_MAX (1024u * 1024u) /* digests of four inputs, a table, an ID block: some KiB */
#define ERROR_MAX  (16u * 1024u)
#define ASK_MAX    (16u * 1024u) /* the help of a program */

/* *ret_base: its name, behind the last slash. */
static int find_self(char self[static PATH_MAX], char **ret_base, char **reterr) {
        ssize_t n = readlink("/proc/self/exe", self, PATH_MAX - 1);

        if (n < 0)
                return error_set(reterr, -errno,
                                "cannot find the directory of this program: /proc is not mounted");
        self[n] = 0;
        *ret_base = strrchr(self, '/');
        if (!*ret_base)
                return -EINVAL;
        ++*ret_base;
        return 0;
}

int run_simulation_fd(const char *name, char **reterr) {
        static const char *const places[] = { "", "../sevsim/" };
        char self[PATH_MAX], *base;
        int r = find_self(self, &base, reterr);

        if (r < 0)
                return r;
        FOREACH_ARRAY(place, places, ELEMENTSOF(places)) {
                _cleanup_free_ char *path = NULL;
                int fd;

                if (asprintf(&path, "%.*s%s%s", (int) (base - self), self, *place, name) < 0)
                        return -ENOMEM;
                fd = fd_open(path, O_RDONLY, 0);
                if (fd != -ENOENT)
                        return fd < 0 ? error_set(reterr, fd, "cannot open '%s': %s", path, strerror(-fd))
                                      : fd;
        }
        return error_set(reterr, -ENOENT,
                        "'%s' is not installed beside this program: install the package cvmspawn-sevsim, or build it with ninja",
                        name);
}

int run_find_program(const char *name, char **ret, char **reterr) {
        char self[PATH_MAX], *base;
        _cleanup_free_ char *path = NULL;
        int r = find_self(self, &base, reterr);

        if (r < 0)
                return r;
        if (asprintf(&path, "%.*s%s%s", (int) (base - self), self, startswith(base, "verb-") ? "verb-" : "",
                            name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (access(path, X_OK) < 0)
                return error_set(reterr, -ENOENT,
                                "the program '%s' of cvmspawn is missing; reinstall cvmspawn, or build it with ninja",
                                path);
        *ret = TAKE_PTR(path);
        return 0;
}

void program_child_done(ProgramChild *c) {
        process_done(&c->process);
        c->out = fd_close(c->out);
        c->err = fd_close(c->err);
}

static int start(const ProgramChild *c, char *const *arguments, const int *keep_fds, size_t n_keep_fds,
                int out, int err, Process *ret, char **reterr) {
        _cleanup_strv_free_ char **argv = NULL;
        char *program = NULL;
        int r;

        r = run_find_program(c->name, &program, reterr);
        if (r >= 0)
                r = strv_consume(&argv, program);
        for (char *const *a = arguments; r >= 0 && *a; a++)
                r = strv_push(&argv, *a);
        if (r < 0)
                return r;

        const ProcessSpec spec = {
                .file = argv[0],
                .argv = argv,
                .stdin_fd = -EBADF,
                .stdout_fd = out,
                .stderr_fd = err,
                .keep_fds = keep_fds,
                .n_keep_fds = n_keep_fds,
                .own_group = true, /* the terminal's ^C is for the launcher */
        };
        return process_spawn(&spec, ret, reterr);
}

int program_child_start(const char *name, char *const *arguments, const int *keep_fds, size_t n_keep_fds,
                ProgramChild *ret, char **reterr) {
        _cleanup_(program_child_done) ProgramChild c = PROGRAM_CHILD_NONE;
        _cleanup_close_ int out_write = -EBADF, err_write = -EBADF;
        int out[2], err[2], r;

        c.name = name;
        if (pipe2(out, O_CLOEXEC) < 0)
                return -errno;
        c.out = out[0];
        out_write = out[1];
        if (pipe2(err, O_CLOEXEC) < 0)
                return -errno;
        c.err = err[0];
        err_write = err[1];

        r = start(&c, arguments, keep_fds, n_keep_fds, out_write, err_write, &c.process, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(c, PROGRAM_CHILD_NONE);
        return 0;
}

const char *program_sentence(const char *name, const char *line) {
        const char *rest = startswith(line, "cvmspawn ");

        if (!rest)
                return line;
        /* The program owner-agent calls itself "owner agent". */
        for (; *name; name++, rest++)
                if (*rest != *name && (*rest != ' ' || *name != '-'))
                        return line;
        return startswith(rest, ": ") ?: line;
}

/* Both streams are short and the child writes its error only after its answer, so reading one after the other cannot block
 * it for good: a pipe holds more than either limit needs. */
int program_child_finish(ProgramChild *c, Json **ret, char **reterr) {
        _cleanup_free_ char *answer = NULL, *text = NULL;
        const char *sentence;
        siginfo_t si = {};
        size_t size;
        int r;

        r = fd_read_all(c->out, ANSWER_MAX, &answer, &size);
        if (r < 0)
                return error_set(reterr, r, "cannot read the answer of the %s program: %s", c->name,
                                strerror(-r));
        r = fd_read_all(c->err, ERROR_MAX, &text, NULL);
        if (r < 0)
                return r;
        r = process_wait(&c->process, UINT64_MAX, &si);
        if (r < 0)
                return r;
        if (si.si_code == CLD_EXITED && si.si_status == 0)
                return js_parse(answer, size, ret, reterr);
        text[strcspn(text, "\n")] = 0;
        sentence = program_sentence(c->name, text);
        if (*sentence)
                return error_set(reterr, -EBADMSG, "%s", sentence);
        return error_set(reterr, -EBADMSG, "the %s program failed without an error message", c->name);
}

int run_ask(const char *program, const char *option, char **ret, char **reterr) {
        _cleanup_close_ int out_read = -EBADF, out_write = -EBADF;
        char *const argv[] = { (char *) program, (char *) option, NULL };
        Process process = PROCESS_NONE;
        int p[2], r;

        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        out_read = p[0];
        out_write = p[1];
        r = process_spawn(
                        &(const ProcessSpec) {
                                        .file = program,
                                        .argv = argv,
                                        .stdin_fd = -EBADF,
                                        .stdout_fd = out_write,
                                        .stderr_fd = out_write,
                                        .own_group = true,
                        },
                        &process, reterr);
        if (r < 0)
                return r;
        out_write = fd_close(out_write);
        r = fd_read_all(out_read, ASK_MAX, ret, NULL);
        process_done(&process);
        return r < 0 ? error_set(reterr, r, "cannot read what '%s %s' says: %s", program, option,
                                       strerror(-r))
                     : 0;
}
