/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* QEMU as a child: its arguments, its messages, its end. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compose.h"
#include "explain.h"
#include "fd.h"
#include "log.h"
#include "run-check.h"
#include "run-session.h"
#include "strutil.h"

/* What QEMU says of a virtiofsd that is gone, in several lines; that it is gone is told with its name by run-share.c. */
static bool is_lost_share(const char *line) {
        static const char *const texts[] = { "Unexpected end-of-file before all data were read",
                "Failed to read msg ", "Failed to write msg", "Failed to set msg fds", "vhost_set_vring_",
                "vhost VQ " };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (strstr(line, texts[i]))
                        return true;
        return false;
}

/* Our own SIGTERM needs no telling. */
static bool drop_line(const Session *s, const char *line) {
        char ours[64];

        if (s->n_shares > 0 && is_lost_share(line))
                return true;
        (void) snprintf(ours, sizeof(ours), "terminating on signal 15 from pid %d ", (int) getpid());
        return strstr(line, ours);
}

/* Where KVM gives up QEMU shows the guest's registers. Of an encrypted guest it knows those from before the launch only. */
static bool is_register_dump(const char *line) {
        static const char *const begins[] = {
                "EAX=",
                "ESI=",
                "EIP=",
                "RAX=",
                "RSI=",
                "RIP=",
                "R8 =",
                "R12=",
                "ES =",
                "CS =",
                "SS =",
                "DS =",
                "FS =",
                "GS =",
                "LDT=",
                "TR =",
                "GDT=",
                "IDT=",
                "CR0=",
                "DR0=",
                "DR6=",
                "EFER=",
                "Code=",
        };

        for (size_t i = 0; i < ELEMENTSOF(begins); i++)
                if (startswith(line, begins[i]))
                        return true;
        return false;
}

/* A warning that is known gets its meaning at once, since a launch that goes well has no message at its end. */
static void show_line(const char *text, const char *sentence) {
        const char *rest = startswith(text, "warning: ");

        if (!rest && strstr(text, ": warning: ")) /* "-mon ...: warning: text" */
                rest = text;
        if (rest)
                log_warning("QEMU: %s%s%s%s", rest, sentence ? " (" : "", sentence ?: "",
                                sentence ? ")" : "");
        else if (*text)
                log_error("QEMU: %s", text);
}

static void on_qemu_line(char *line, void *userdata) {
        Session *s = userdata;
        const char *text = line;

        if (vm_config_confidential(s->request->config) && is_register_dump(line))
                return;
        if (strstr(line, QEMU_WITHOUT_MON))
                s->lacks |= RUN_LACKS_MON;
        if (strstr(line, QEMU_WITHOUT_PRECONFIG))
                s->lacks |= RUN_LACKS_PRECONFIG;

        if (explain_is_launch(line))
                s->facts.unfinished = true;

        ExplainRank rank = EXPLAIN_NOTHING;
        _cleanup_free_ char *sentence = NULL;

        if (drop_line(s, line) || explain_line(line, &rank, &sentence) < 0 || rank == EXPLAIN_MISLEADING)
                return;
        /* "/path/of/qemu-system-x86_64: text" */
        const char *name = strstr(line, "qemu-system-x86_64: ");
        if (name)
                text = name + strlen("qemu-system-x86_64: ");
        show_line(text, sentence);
        /* The first specific cause counts; it replaces a general one. */
        if (sentence && rank > s->qemu_cause_rank) {
                free(s->qemu_cause);
                s->qemu_cause = TAKE_PTR(sentence);
                s->qemu_cause_rank = rank;
        }
}

static void on_qemu_text(const char *data, size_t size, void *userdata) {
        Session *s = userdata;

        line_reader_feed(&s->qemu_lines, data, size, on_qemu_line, s);
}

void session_end_qemu_lines(Session *s) {
        line_reader_end(&s->qemu_lines, on_qemu_line, s);
}

static int on_qemu_exit(_unused_ LoopSource *source, const siginfo_t *si, void *userdata) {
        Session *s = userdata;

        s->facts.qemu_exited = true;
        s->facts.qemu_status = si->si_code == CLD_EXITED ? si->si_status : -si->si_status;
        s->qemu_gone = true;
        return loop_exit(s->loop, 0);
}

static int start(Session *s, const QemuCommand *command, int stderr_fd, char **reterr) {
        bool native = s->request->choices->console == CONSOLE_NATIVE;
        const ProcessSpec spec = {
                .file = command->argv[0],
                .argv = command->argv,
                .stdin_fd = native ? STDIN_FILENO : s->console.qemu_in,
                .stdout_fd = native ? STDOUT_FILENO : s->console.qemu_out,
                .stderr_fd = stderr_fd,
                .keep_fds = command->fds,
                .n_keep_fds = command->n_fds,
                .own_group = !native,
                .prepare = run_become_qemu,
                .userdata = (void *) s->request->user,
        };

        return process_spawn(&spec, &s->qemu, reterr);
}

static int pass_kvm(Session *s) {
        const LaunchChoices *choices = s->request->choices;
        int fd;

        if (!choices->kvm || choices->kvm_fd <= 0)
                return 0;
        fd = fcntl(choices->kvm_fd, F_DUPFD_CLOEXEC, 3);
        return fd < 0 ? -errno : session_pass(s, fd, LAUNCH_FD_KVM);
}

int session_spawn_qemu(Session *s, char **reterr) {
        _cleanup_(qemu_command_done) QemuCommand command = {};
        _cleanup_close_ int err_read = -EBADF, err_write = -EBADF;
        const RunRequest *q = s->request;
        int p[2], r;

        r = volumes_check(q->config, reterr);
        if (r >= 0)
                r = compose_qemu(q->config, q->inputs, q->caps, q->choices, &command, reterr);
        if (r >= 0)
                r = pass_kvm(s);
        if (r < 0)
                return r;

        if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
        err_read = p[0];
        err_write = p[1];
        if (fcntl(err_read, F_SETFL, O_NONBLOCK) < 0)
                return -errno;

        r = start(s, &command, err_write, reterr);
        if (r < 0)
                return r;
        session_close_channels(s);
        session_close_console_ends(s);
        r = loop_add_child(s->loop, s->qemu.pidfd, on_qemu_exit, s, &s->qemu_source);
        if (r < 0)
                return r;
        r = forward_start(&s->qemu_stderr, s->loop,
                        &(const ForwardSpec) { .in = err_read,
                                        .out = -EBADF,
                                        .seen = on_qemu_text,
                                        .userdata = s });
        if (r < 0)
                return r;
        err_read = -EBADF;
        return session_start_machine(s);
}
