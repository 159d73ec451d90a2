/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A TPM by swtpm: the control channel is a socket pair, its state a directory that is kept, or a memory file, so that
 * nothing is left behind whatever ends us. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "file-check.h"
#include "log.h"
#include "run-check.h"
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

/* A directory that outlives the guest: beside the image, as systemd-vmspawn's. */
static int state_path(const VmConfig *config, char **ret) {
        const char *base = vm_config_state_base(config);
        char real[PATH_MAX];
        struct stat st;

        *ret = NULL;
        if (config->tpm_state && !streq(config->tpm_state, "off"))
                return (*ret = strdup(config->tpm_state)) ? 0 : -ENOMEM;
        if (config->tpm_state || vm_config_confidential(config) || !base || !realpath(base, real) ||
                        stat(real, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
                return 0;
        if (asprintf(ret, "%s.tpmstate", real) < 0) {
                *ret = NULL;
                return -ENOMEM;
        }
        return 0;
}

int tpm_check(const VmConfig *config, const LaunchChoices *choices, char **reterr) {
        const char *path = config->tpm_state;
        struct stat st;
        int r;

        /* What nobody named is left out where it cannot be written. */
        if (!choices->tpm || !path || streq(path, "off"))
                return 0;
        if (stat(path, &st) < 0) {
                r = errno == ENOENT ? file_check_parent(path) : -errno;
                return r < 0 ? error_set(reterr, r, "--tpm-state: cannot make '%s': %s", path, strerror(-r))
                             : 0;
        }
        if (!S_ISDIR(st.st_mode))
                return error_set(reterr, -ENOTDIR, "--tpm-state: cannot open the directory '%s': %s", path,
                                strerror(ENOTDIR));
        return faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) < 0
                        ? error_set(reterr, -errno, "--tpm-state: cannot write to '%s': %m", path)
                        : 0;
}

/* The lock is this guest's for as long as the launcher lives: swtpm ends with it. */
static int lock_state(Session *s, const char *path, char **reterr) {
        int fd;

        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return error_set(reterr, -errno, "--tpm-state: cannot make '%s': %m", path);
        fd = fd_open(path, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return error_set(reterr, fd, "--tpm-state: cannot open the directory '%s': %s", path,
                                strerror(-fd));
        (void) fd_close(s->tpm_state);
        s->tpm_state = fd;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return error_set(reterr, -errno,
                                errno == EWOULDBLOCK ? "--tpm-state: '%s' is in use by another guest"
                                                     : "--tpm-state: cannot lock '%s'",
                                path);
        return faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0
                        ? error_set(reterr, -errno, "--tpm-state: cannot write to '%s': %m", path)
                        : 0;
}

/* 1 if the state is kept, 0 if not. */
static int keep_state(Session *s, char **ret_option, char **reterr) {
        const VmConfig *config = s->request->config;
        _cleanup_free_ char *path = NULL;
        int r = state_path(config, &path);

        if (r < 0 || !path)
                return r;
        r = lock_state(s, path, reterr);
        if (!config->tpm_state && (r == -EACCES || r == -EPERM || r == -EROFS)) {
                free(*reterr);
                *reterr = NULL;
                log_notice("the TPM's state is discarded when the guest ends: '%s' cannot be written", path);
                return 0;
        }
        if (r < 0)
                return r;
        if (asprintf(ret_option, "dir=%s,mode=0600", path) < 0) {
                *ret_option = NULL;
                return -ENOMEM;
        }
        return 1;
}

static int on_swtpm_exit(_unused_ LoopSource *source, _unused_ const siginfo_t *si, void *userdata) {
        Session *s = userdata;

        s->swtpm_gone = true;
        /* Before the guest runs, QEMU says what it misses. */
        return s->facts.running
                        ? session_helper_left(s,
                                          strdup("swtpm ended while the guest was running: its TPM is gone"))
                        : 0;
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
        r = keep_state(s, &tpmstate, reterr);
        if (r < 0)
                return r;
        if (r == 0 && asprintf(&tpmstate, "backend-uri=file:///proc/self/fd/%d", state) < 0) {
                tpmstate = NULL;
                return -ENOMEM;
        }

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
        if (r < 0)
                return r;
        err_read = -EBADF;
        return loop_add_child(s->loop, s->swtpm.pidfd, on_swtpm_exit, s, &s->swtpm_source);
}

void session_end_tpm(Session *s) {
        s->swtpm_source = loop_source_unref(s->swtpm_source);
        /* The loop reaped it after its handler. */
        if (s->swtpm_gone)
                process_forget(&s->swtpm);
        else
                process_done(&s->swtpm);
        s->tpm_state = fd_close(s->tpm_state);
}
