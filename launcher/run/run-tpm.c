/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A TPM by swtpm: the control channel is a socket pair, its state a memory file, so that nothing is left behind whatever ends us. */

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "run-session.h"

int session_start_tpm(Session *s, char **reterr) {
        _cleanup_close_ int control = -EBADF, state = -EBADF;
        _cleanup_free_ char *ctrl = NULL, *tpmstate = NULL;
        int r;

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

        const int fds[] = { control, state };
        char *const argv[] = { s->request->caps->swtpm, (char *) "socket", (char *) "--tpm2",
                (char *) "--terminate", (char *) "--ctrl", ctrl, (char *) "--tpmstate", tpmstate, NULL };
        const ProcessSpec spec = {
                .file = argv[0],
                .argv = argv,
                .stdin_fd = -EBADF,
                .stdout_fd = -EBADF,
                .stderr_fd = -EBADF,
                .keep_fds = fds,
                .n_keep_fds = ELEMENTSOF(fds),
        };
        r = process_spawn(&spec, &s->swtpm, reterr);
        return r < 0 ? error_prefix(reterr, r, "--tpm") : 0;
}
