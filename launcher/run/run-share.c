/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Directories for the guest by virtiofsd, one process each. It waits on a listening socket that has no name in the file system, with QEMU's
 * end connected already, and ends with that connection: whatever ends the launcher or QEMU, nothing is left behind. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "log.h"
#include "run-overlay.h"
#include "run-programs.h"
#include "run-session.h"
#include "strutil.h"

#define ATTEMPTS    16u
#define STATUS_USEC UINT64_C(500000)

typedef struct ShareChild {
        Session *session; /* weak */
        int lock;         /* owned: of a root directory, which only one guest can write to */
        Share share;
        Process process;
        bool gone; /* and reaped by the loop */
        LoopSource *source;
        Forward err;
        LineReader lines;
} ShareChild;

/* "virtiofsd 1.14.0"; the program of the same name of QEMU before 8.0 says "virtiofsd version 7.2.0", after other lines. */
static bool new_enough(const char *answer) {
        const char *number = startswith(answer, "virtiofsd ");
        unsigned major, minor;

        return number && sscanf(number, "%u.%u", &major, &minor) == 2 &&
                        (major > 1 || (major == 1 && minor >= 13));
}

int run_check_virtiofsd(const VmConfig *config, const HostCaps *caps, char **reterr) {
        _cleanup_free_ char *answer = NULL;
        Share s;
        int r;

        if (vm_config_n_shares(config) == 0)
                return 0;
        vm_config_share(config, 0, &s);
        if (config->user_range > 0 && geteuid() != 0)
                return error_set(reterr, -EPERM,
                                "--private-users: only root can make files of other users: remove it, and all files are yours");
        FOREACH_ARRAY(u, config->bind_users, config->n_bind_users)
                if (geteuid() != 0 && u->uid != geteuid())
                        return error_set(reterr, -EPERM,
                                        "--bind-user: only root can share the home directory of another user: run cvmspawn as '%s' or as root",
                                        u->name);
        r = run_ask(caps->virtiofsd, "--version", &answer, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--%s", s.option);
        if (new_enough(answer))
                return 0;
        answer[strcspn(answer, "\n")] = 0;
        return error_set(reterr, -EOPNOTSUPP, "--%s: '%s' does not do ('%s'); " VIRTIOFSD_REMEDY, s.option,
                        caps->virtiofsd, answer);
}

static void on_line(char *line, void *userdata) {
        ShareChild *c = userdata;
        const char *text = *line == '[' ? strstr(line, "] ") : NULL;

        /* "[TIME LEVEL MODULE] text" */
        text = text ? text + 2 : line;
        /* Its sandbox is a child; how that ended is told by fail(). */
        if (*text && !startswith(text, "Child process "))
                log_error("--%s='%s': virtiofsd: %s", c->share.option, c->share.source, text);
}

static void on_text(const char *data, size_t size, void *userdata) {
        ShareChild *c = userdata;

        line_reader_feed(&c->lines, data, size, on_line, c);
}

static char *how_it_ended(const ShareChild *c, const siginfo_t *si) {
        const char *how = si->si_code == CLD_EXITED ? "exited with status" : "was killed by signal";
        char *sentence;

        return asprintf(&sentence, "virtiofsd, which gives the guest --%s='%s', %s %d", c->share.option,
                               c->share.source, how, si->si_status) < 0
                        ? NULL
                        : sentence;
}

static void fail(ShareChild *c, const siginfo_t *si) {
        _cleanup_free_ char *sentence = how_it_ended(c, si);

        (void) session_fail(c->session, -ECHILD, sentence ?: "virtiofsd ended");
        if (!c->session->facts.running)
                (void) loop_exit(c->session->loop, 0);
}

/* It ends well when QEMU closes the connection, which QEMU does when it ends. */
static int on_exit_status(_unused_ LoopSource *source, const siginfo_t *si, void *userdata) {
        ShareChild *c = userdata;

        c->gone = true;
        if (c->session->qemu_gone)
                return 0;
        if (si->si_code == CLD_EXITED && si->si_status == 0)
                return session_helper_left(c->session, how_it_ended(c, si));
        fail(c, si);
        return 0;
}

/* A listening socket and a connection to it. Anybody on this machine may connect to an abstract name; a queue of one place, in which we
 * are, has no room for others, and virtiofsd takes one connection only. */
static int connect_pair(int *ret_listening, int *ret_connected) {
        for (unsigned i = 0; i < ATTEMPTS; i++) {
                _cleanup_close_ int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
                                    connected = socket(
                                                    AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                struct sockaddr_un address = { .sun_family = AF_UNIX };
                socklen_t size = sizeof(address);

                if (listening < 0 || connected < 0 ||
                                bind(listening, (const struct sockaddr *) &address, sizeof(sa_family_t)) <
                                                0 ||
                                listen(listening, 0) < 0 ||
                                getsockname(listening, (struct sockaddr *) &address, &size) < 0)
                        return -errno;
                if (connect(connected, (const struct sockaddr *) &address, size) < 0) {
                        if (errno == EAGAIN)
                                continue; /* somebody else was first */
                        return -errno;
                }
                if (fcntl(connected, F_SETFL, O_RDWR) < 0)
                        return -errno;
                *ret_listening = TAKE_FD(listening);
                *ret_connected = TAKE_FD(connected);
                return 0;
        }
        return -EADDRINUSE;
}

static bool has_overlay(const Session *s, const ShareChild *c) {
        return s->request->config->ephemeral && !c->share.target;
}

/* As systemd-vmspawn has them, but that --bind-ro= is read-only here, too, and that an ordinary user's are all this user's. */
static int build_argv(const Session *s, const ShareChild *c, size_t i, int fd, char ***ret) {
        const VmConfig *config = s->request->config;
        const uid_t uid = geteuid();
        _cleanup_strv_free_ char **argv = NULL;
        int r = strv_push(&argv, s->request->caps->virtiofsd);

        if (r >= 0)
                r = strv_pushf(&argv, "--shared-dir=%s", s->request->inputs->shares[i]);
        if (r >= 0)
                r = strv_pushf(&argv, "--fd=%d", fd);
        STRV_FOREACH(word,
                        ((char *const[]) { (char *) "--xattr", (char *) "--no-announce-submounts",
                                        (char *) "--log-level=error", (char *) "--modcaps=-mknod", NULL }))
                if (r >= 0)
                        r = strv_push(&argv, *word);
        if (r >= 0 && c->share.read_only)
                r = strv_push(&argv, "--readonly");
        /* The overlay's user namespace has this map already. */
        if (r >= 0 && uid != 0 && !has_overlay(s, c)) {
                r = strv_pushf(&argv, "--uid-map=:0:%u:1:", (unsigned) uid);
                if (r >= 0)
                        r = strv_pushf(&argv, "--gid-map=:0:%u:1:", (unsigned) getegid());
        }
        for (int group = 0; group < 2 && r >= 0; group++) {
                const char *which = group ? "gid" : "uid";

                /* In that namespace there is one user, 0: the one who runs this. */
                if (uid != 0 && c->share.user)
                        r = strv_pushf(&argv, "--translate-%s=map:%u:0:1", which, c->share.user->guest_id);
                else if (uid != 0)
                        r = strv_pushf(&argv, "--translate-%s=squash-guest:0:0:4294967295", which);
                else if (c->share.user)
                        r = strv_pushf(&argv, "--translate-%s=map:%u:%u:1", which, c->share.user->guest_id,
                                        group ? c->share.user->gid : c->share.user->uid);
                else if (!c->share.target)
                        r = strv_pushf(&argv, "--translate-%s=map:0:%u:%u", which,
                                        config->user_shift_set ? config->user_shift
                                                               : (unsigned) s->request->inputs->root_owner,
                                        config->user_range > 0 ? config->user_range : USER_RANGE);
        }
        if (r >= 0)
                *ret = TAKE_PTR(argv);
        return r;
}

static int lock(const Session *s, ShareChild *c, size_t i, char **reterr) {
        if (c->share.target)
                return 0;
        c->lock = fd_open(s->request->inputs->shares[i], O_RDONLY | O_DIRECTORY, 0);
        if (c->lock < 0)
                return error_set(reterr, c->lock, "cannot open the directory: %s", strerror(-c->lock));
        if (flock(c->lock, (s->request->config->ephemeral ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0 &&
                        errno == EWOULDBLOCK)
                return error_set(reterr, -EBUSY,
                                "the directory is in use, perhaps by another guest, which must end first");
        return 0;
}

static int start(Session *s, ShareChild *c, size_t i, char **reterr) {
        _cleanup_close_ int listening = -EBADF, connected = -EBADF, err_read = -EBADF, err_write = -EBADF;
        const int number = LAUNCH_FD_SHARES + (int) i;
        _cleanup_strv_free_ char **argv = NULL;
        int p[2], r = lock(s, c, i, reterr);

        if (r < 0)
                return r;
        r = connect_pair(&listening, &connected);
        if (r >= 0 && dup3(connected, number, O_CLOEXEC) < 0)
                r = -errno;
        if (r < 0)
                return error_set(reterr, r, "cannot make a socket for virtiofsd: %s", strerror(-r));
        s->channel_fds[s->n_channel_fds++] = number;
        r = build_argv(s, c, i, listening, &argv);
        if (r < 0)
                return r;
        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        err_read = p[0];
        err_write = p[1];
        if (fcntl(err_read, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        r = process_spawn(
                        &(const ProcessSpec) {
                                        .file = argv[0],
                                        .argv = argv,
                                        .stdin_fd = -EBADF,
                                        .stdout_fd = -EBADF,
                                        .stderr_fd = err_write,
                                        .keep_fds = &listening,
                                        .n_keep_fds = 1,
                                        .own_group = true,
                                        .prepare = has_overlay(s, c) ? run_overlay : NULL,
                                        .userdata = s->request->inputs->shares[i],
                        },
                        &c->process, reterr);
        if (r < 0)
                return has_overlay(s, c)
                                ? error_prefix(reterr, r, "--ephemeral: an overlay in a mount namespace")
                                : r;
        r = loop_add_child(s->loop, c->process.pidfd, on_exit_status, c, &c->source);
        if (r >= 0)
                r = forward_start(&c->err, s->loop,
                                &(const ForwardSpec) { .in = err_read,
                                                .out = -EBADF,
                                                .seen = on_text,
                                                .userdata = c });
        if (r >= 0)
                err_read = -EBADF;
        return r;
}

int session_start_shares(Session *s, char **reterr) {
        size_t n = vm_config_n_shares(s->request->config);
        int r = 0;

        if (n == 0)
                return 0;
        s->shares = calloc(n, sizeof(*s->shares));
        if (!s->shares)
                return -ENOMEM;
        for (; s->n_shares < n && r >= 0; s->n_shares++) {
                ShareChild *c = s->shares + s->n_shares;

                *c = (ShareChild) {
                        .session = s, .lock = -EBADF, .process = PROCESS_NONE, .err = FORWARD_NONE
                };
                vm_config_share(s->request->config, s->n_shares, &c->share);
                r = start(s, c, s->n_shares, reterr);
                if (r < 0)
                        r = error_prefix(reterr, r, "--%s='%s'", c->share.option, c->share.source);
        }
        return r;
}

void session_blame_shares(Session *s) {
        FOREACH_ARRAY(c, s->shares, s->n_shares) {
                siginfo_t si = {};

                if (c->gone)
                        continue;
                c->source = loop_source_unref(c->source);
                c->gone = process_wait(&c->process, STATUS_USEC, &si) >= 0;
                if (c->gone && (si.si_code != CLD_EXITED || si.si_status != 0))
                        fail(c, &si);
        }
}

void session_drain_shares(Session *s, uint64_t deadline) {
        FOREACH_ARRAY(c, s->shares, s->n_shares)
                if (c->gone) {
                        (void) forward_drain(&c->err, deadline);
                        line_reader_end(&c->lines, on_line, c);
                }
}

void session_end_shares(Session *s) {
        /* With QEMU, or with us where QEMU was not started, the connections end. */
        session_close_channels(s);
        FOREACH_ARRAY(c, s->shares, s->n_shares) {
                c->source = loop_source_unref(c->source);
                if (c->gone)
                        process_forget(&c->process);
                if (process_wait(&c->process, STATUS_USEC, NULL) < 0)
                        process_done(&c->process);
                forward_done(&c->err);
                (void) fd_close(c->lock);
        }
        free(s->shares);
        s->shares = NULL;
        s->n_shares = 0;
}
