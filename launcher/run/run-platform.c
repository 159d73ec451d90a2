/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* PDH, certificates and chip id of this host come from QEMU rather than from /dev/sev: no root, no second implementation, and what cannot be
 * asked here could not be launched here either. Spec: QEMU qapi/misc-i386.json, query-sev-capabilities: needs accel=kvm, no machine. */

#include "run-platform.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "launch.h"
#include "process.h"
#include "qmp-commands.h"
#include "strutil.h"

#define ANSWER_USEC (30 * UINT64_C(1000000)) /* each; the secure processor may first have to start */
#define EXIT_USEC   (5 * UINT64_C(1000000))
#define WORDS_MAX   (64u * 1024)

static int start(const char *qemu, const QemuUser *user, int monitor, int messages, Process *ret,
                char **reterr) {
        const char *const argv[] = { qemu, "-S", "-nodefaults", "-no-user-config", "-display", "none",
                "-machine", "none,accel=kvm", "-sandbox", LAUNCH_SANDBOX, "-chardev", "socket,id=qmp,fd=100",
                "-mon", "chardev=qmp,mode=control", NULL };
        const int keep[] = { LAUNCH_FD_QMP };
        const ProcessSpec spec = {
                .file = qemu,
                .argv = (char *const *) argv,
                .stdin_fd = -EBADF,
                .stdout_fd = -EBADF,
                .stderr_fd = messages,
                .keep_fds = keep,
                .n_keep_fds = ELEMENTSOF(keep),
                .own_group = true,
                .prepare = run_become_qemu,
                .userdata = (void *) user,
        };
        int r;

        static_assert(LAUNCH_FD_QMP == 100, "as the arguments say");
        if (dup3(monitor, LAUNCH_FD_QMP, O_CLOEXEC) < 0)
                return -errno;
        r = process_spawn(&spec, ret, reterr);
        (void) close(LAUNCH_FD_QMP);
        return r;
}

/* Its last words, without its name. */
static void explain(int messages, int error, char **reterr) {
        _cleanup_free_ char *text = NULL;
        const char *line;

        if (*reterr && error == -EREMOTEIO)
                return;
        if (lseek(messages, 0, SEEK_SET) < 0 || fd_read_all(messages, WORDS_MAX, &text, NULL) < 0)
                return;
        line = strstr(text, ": ");
        line = line ? line + 2 : text;
        if (!*line)
                return;
        free(*reterr);
        *reterr = NULL;
        (void) error_set(reterr, error, "QEMU: %.*s", (int) strcspn(line, "\n"), line);
}

static int ask(Loop *loop, int fd, QmpSevCapabilities *ret, char **reterr) {
        _cleanup_qmp_client_ QmpClient *c = NULL;
        int r = qmp_client_new(loop, fd, &c);

        if (r < 0) {
                (void) fd_close(fd);
                return r;
        }
        r = qmp_query_sev_capabilities_wait(c, ANSWER_USEC, ret, reterr);
        if (r >= 0)
                r = qmp_quit(c, NULL, NULL);
        for (int k = 1; r >= 0 && k > 0 && !qmp_client_failure(c);)
                k = r = loop_once(loop, ANSWER_USEC);
        return r < 0 ? r : 0;
}

int run_ask_platform(
                Loop *loop, const char *qemu, const QemuUser *user, QmpSevCapabilities *ret, char **reterr) {
        _cleanup_(process_done) Process p = PROCESS_NONE;
        _cleanup_close_ int messages = memfd_new("cvmspawn-messages"), ours = -EBADF, theirs = -EBADF;
        int pair[2], waited, r;

        if (messages < 0)
                return messages;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        if (fcntl(ours, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
                return -errno;
        r = start(qemu, user, theirs, messages, &p, reterr);
        theirs = fd_close(theirs);
        if (r < 0)
                return r;
        r = ask(loop, TAKE_FD(ours), ret, reterr);
        if (r == -ECANCELED)
                return r;
        waited = process_wait(&p, r < 0 ? EXIT_USEC / 10 : EXIT_USEC, NULL);
        /* Before QEMU is ended, since it reports the signal that ends it. */
        if (r < 0)
                explain(messages, r, reterr);
        if (waited < 0)
                process_done(&p);
        return r < 0 ? error_prefix(reterr, r,
                                       "cannot query the SEV platform of this host, see 'cvmspawn check-host'")
                     : 0;
}
