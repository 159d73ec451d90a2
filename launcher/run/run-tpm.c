/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A TPM by swtpm: the control channel is a socket pair, its state a memory file, so that nothing is left behind whatever ends us. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "log.h"
#include "run-session.h"
#include "strutil.h"

static void on_tpm_line(char *line, _unused_ void *userdata) {
        const char *text = startswith(line, "swtpm: ") ?: line;

        /* A new TPM is formatted each time: not worth a word. */
        if (*text && !startswith(text, "Formatting "))
                log_error("swtpm: %s", text);
}

static void on_tpm_text(const char *data, size_t size, void *userdata) {
        Session *s = userdata;

        line_reader_feed(&s->tpm_lines, data, size, on_tpm_line, s);
}

int session_start_tpm(Session *s, char **reterr) {
        _cleanup_close_ int control = -EBADF, state = -EBADF, err_read = -EBADF, err_write = -EBADF;
        _cleanup_free_ char *ctrl = NULL, *tpmstate = NULL;
        int p[2], r;

        if (!s->request->choices->tpm)
                return 0;
        control = session_channel(s, LAUNCH_FD_TPM);
        if (control < 0)
                return control;
        state = memfd_new("cvmspawn-tpm-state");
        if (state < 0)
                return state;
        if (asprintf(&ctrl, "type=unixio,clientfd=%d", control) < 0)
                return -ENOMEM;
        if (asprintf(&tpmstate, "backend-uri=file:///proc/self/fd/%d", state) < 0)
                return -ENOMEM;

        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        err_read = p[0];
        err_write = p[1];
        if (fcntl(err_read, F_SETFL, O_NONBLOCK) < 0)
                return -errno;

        const int fds[] = { control, state };
        char *const argv[] = { s->request->caps->swtpm, (char *) "socket", (char *) "--tpm2",
                (char *) "--terminate", (char *) "--ctrl", ctrl, (char *) "--tpmstate", tpmstate, NULL };
        const ProcessSpec spec = {
                .file = argv[0],
                .argv = argv,
                .stdin_fd = -EBADF,
                .stdout_fd = -EBADF,
                .stderr_fd = err_write,
                .keep_fds = fds,
                .n_keep_fds = ELEMENTSOF(fds),
                .own_group = true,
        };
        r = process_spawn(&spec, &s->swtpm, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--tpm");
        r = forward_start(&s->tpm_stderr, s->loop,
                        &(const ForwardSpec) {
                                        .in = err_read, .out = -EBADF, .seen = on_tpm_text, .userdata = s });
        if (r >= 0)
                err_read = -EBADF;
        return r;
}
