/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The phases of one launch, in order: channels, companions, QEMU, set-up by QMP, the verdict on the initrd, cont, wait, tidy up. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "log.h"
#include "progress.h"
#include "qmp-commands.h"
#include "run-guard.h"
#include "run-session.h"
#include "run-show.h"
#include "run-terminal.h"
#include "strutil.h"

#define EXIT_USEC       (2 * UINT64_C(1000000)) /* between a closed QMP socket and the end of the process */
#define AFTER_LOOP_USEC UINT64_C(2000000)
#define DRAIN_USEC      (UINT64_C(150000)) /* for readers of what is left, where nobody may be waited for */

/* The guest runs, and nobody hears any more what QEMU says of it. A QEMU that ends is waited for: its exit is what counts. */
static void end_unheard(Session *s) {
        if (s->qemu_gone)
                return;
        if (s->qmp_error < 0)
                (void) session_fail(s, s->qmp_error, qmp_client_failure(s->qmp));
        else
                session_await_exit(s);
}

/* Before the guest runs wait_for_exit() distinguishes the end of QEMU from a failure of the protocol. */
static int on_disconnect(_unused_ QmpClient *c, int error, void *userdata) {
        Session *s = userdata;

        s->qmp_lost = true;
        s->qmp_error = error;
        if (s->facts.running)
                end_unheard(s);
        return 0;
}

static int set_up_channels(Session *s, char **reterr) {
        int r = session_start_console(s, reterr);

        if (r < 0)
                return r;
        return session_start_ports(s);
}

static int start_qmp(Session *s, int fd) {
        int r = qmp_client_new(s->loop, fd, &s->qmp);

        if (r < 0) {
                (void) fd_close(fd);
                return r;
        }
        qmp_client_set_handlers(s->qmp, session_on_event, on_disconnect, s);
        return 0;
}

/* When the socket breaks because QEMU died, its exit and last words are on their way. */
static void wait_for_exit(Session *s) {
        siginfo_t si = {};

        if (s->qemu_gone)
                return;
        s->qemu_source = loop_source_unref(s->qemu_source);
        if (process_wait(&s->qemu, EXIT_USEC, &si) < 0)
                return;
        s->facts.qemu_exited = true;
        s->facts.qemu_status = si.si_code == CLD_EXITED ? si.si_status : -si.si_status;
        s->qemu_gone = true;
}

/* Our own lines, between those of the guest. */
static void write_log(const char *text, size_t n, void *userdata) {
        Session *s = userdata;

        show_clear();
        forward_break(&s->console.forward);
        forward_break(&s->out);
        forward_break(&s->err);
        output_write(s->request->log, text, n);
}

static int start(Session *s, char **reterr) {
        int fd, r;

        r = session_watch_signals(s);
        if (r >= 0)
                r = session_watch_timeout(s);
        if (r >= 0)
                r = session_watch_progress(s);
        if (r < 0)
                return r;
        output_attach(s->request->log, s->loop);
        event_sink_attach(s->request->events, s->loop);
        run_guard_postpone(AFTER_LOOP_USEC);
        run_guard_signals();
        session_start_notify(s);
        session_open_control(s);
        log_set_writer(write_log, s);
        if (s->request->before_spawn)
                progress_step("waiting for the guest owner");
        if (s->request->before_spawn)
                r = s->request->before_spawn(s, s->request->userdata, reterr);
        if (r >= 0)
                r = session_start_copies(s, reterr);
        if (r >= 0)
                r = set_up_channels(s, reterr);
        if (r < 0)
                return r;
        r = session_start_tpm(s, reterr);
        if (r >= 0)
                r = session_start_shares(s, reterr);
        if (r >= 0)
                r = session_start_relay(s, reterr);
        if (r >= 0)
                r = session_start_journal(s, reterr);
        if (r >= 0)
                r = session_start_network(s, reterr);
        if (r < 0)
                return r;

        /* A QEMU that does not wait reads its files at once. */
        if (!s->request->inputs->preconfig) {
                r = run_fill(s->request, /* stop= */ NULL, reterr);
                if (r < 0)
                        return r;
        }
        progress_step("starting QEMU");
        fd = session_channel(s, LAUNCH_FD_QMP);
        if (fd < 0)
                return fd;
        r = session_spawn_qemu(s, reterr);
        if (r < 0) {
                (void) fd_close(fd);
                return r;
        }
        run_timing_mark(s->request->timing, "qemu");
        r = start_qmp(s, fd);
        if (r < 0)
                return r;
        r = qmp_wait_begin(s->qmp, "query-version", NULL, &s->version, reterr);
        if (r >= 0)
                r = session_start_fill(s, reterr);
        if (r < 0)
                return r;
        r = session_prepare_filter(s, reterr);
        return r < 0 ? r : session_set_up(s, reterr);
}

static int run(Session *s) {
        Json *timing = NULL;
        int r;

        s->facts.running = true;
        s->watch = loop_source_unref(s->watch);
        if (s->facts.failed)
                session_end(s, END_QUIT);
        /* Also what came together with the answer to `cont` is over by now. */
        if (s->qmp_lost)
                end_unheard(s);
        if (run_timing_json(s->request->timing, &timing) < 0)
                timing = NULL;
        event_emit(s->request->events, "started", timing);
        login_announce(s->request->login, s->request->choices, s->request->events);
        if (s->request->config->notify_ready == TRISTATE_NO ||
                        (!s->request->choices->run && !s->request->choices->vsock_notify)) {
                /* Nobody in the guest need say when it is ready; who does is not repeated. */
                s->ready_sent = true;
                event_emit(s->request->events, "ready", NULL);
                session_notify_manager(s, "READY=1");
        }
        r = session_start_control(s);
        if (r >= 0)
                r = session_watch_stop(s);
        if (r >= 0)
                r = session_watch_refusal(s);
        if (r >= 0)
                r = session_begin_input(s);
        if (r < 0 || s->qemu_gone)
                return r;
        return loop_run(s->loop);
}

/* What was said before the end. A slow reader of our output is waited for, until --timeout= is over, or a signal arrives: the
 * second one at the latest. */
static void drain(Session *s) {
        Forward *const forwards[] = { &s->qemu_stderr, &s->tpm_stderr, &s->notify, &s->out, &s->err,
                &s->console.forward };
        uint64_t *deadline = s->request->deadline;

        show_close();
        session_end_signals(s);
        if (s->facts.timed_out || s->n_signals > 1)
                *deadline = monotonic_usec() + DRAIN_USEC;
        for (size_t i = 0; i < ELEMENTSOF(forwards); i++) {
                int r = forward_drain(forwards[i], *deadline);

                s->facts.unread = s->facts.unread || r < 0;
                s->facts.timed_out = s->facts.timed_out || (r == -ETIMEDOUT && s->facts.signal == 0);
                if (r == -EINTR)
                        *deadline = 1;
        }
        session_finish_copies(s);
        session_drain_shares(s, *deadline);
        session_end_qemu_lines(s);
        session_restore_terminal(s);
        (void) output_drain(
                        &s->console.forward.out, *deadline > 0 ? *deadline : monotonic_usec() + DRAIN_USEC);
}

static void session_done(Session *s) {
        session_end_signals(s);
        session_end_timers(s);
        log_set_writer(run_log_writer, s->request->log);
        session_end_notify(s);
        output_attach(s->request->log, NULL);
        event_sink_attach(s->request->events, NULL);
        session_end_fill(s);
        run_guard_stop();
        session_end_control(s);
        qmp_wait_done(&s->version);
        qmp_wait_done(&s->machine);
        qmp_wait_done(&s->cont);
        s->qemu_source = loop_source_unref(s->qemu_source);
        if (s->qemu_gone)
                process_forget(&s->qemu);
        process_done(&s->qemu);
        session_end_shares(s);
        session_end_tpm(s);
        process_done(&s->relay);
        session_end_network(s);
        session_end_journal(s);
        session_end_scan(s);
        session_end_machine(s);
        session_end_measure(s);
        session_end_console(s);
        forward_done(&s->qemu_stderr);
        forward_done(&s->tpm_stderr);
        session_end_ports(s);
        session_end_copies(s);
        session_close_channels(s);
        s->loop = loop_unref(s->loop);
        free(s->filter);
        free(s->error);
        free(s->qemu_cause);
        free(s->guest_cause);
}

/* Says once why it ended, best explanation first. */
static void report(Session *s, const RunResult *result) {
        if (result->status == 0 || result->source == EXIT_SOURCE_SIGNAL ||
                        (s->facts.guest_status >= 0 && result->source == EXIT_SOURCE_GUEST))
                return;
        session_show_tail(s);
        if (s->error)
                log_error("%s", s->error);
        /* QEMU's messages are not the cause where the guest ended by itself. */
        if (s->guest_cause && result->source == EXIT_SOURCE_GUEST)
                log_error("%s", s->guest_cause);
        else if (s->qemu_cause && result->source != EXIT_SOURCE_GUEST)
                log_error("%s", s->qemu_cause);
        else if (result->cause && !s->error)
                log_error("%s", result->cause);
}

/* The same for the event. */
static void take_detail(Session *s, RunResult *ret) {
        if (ret->status != 0 && ret->source != EXIT_SOURCE_SIGNAL &&
                        (s->facts.guest_status < 0 || ret->source != EXIT_SOURCE_GUEST))
                ret->detail = s->error                             ? TAKE_PTR(s->error)
                                : ret->source == EXIT_SOURCE_GUEST ? TAKE_PTR(s->guest_cause)
                                                                   : TAKE_PTR(s->qemu_cause);
}

/* QEMU ended by itself before the guest ran; owned. What it said stands above. */
static char *early_end(const Session *s) {
        int status = s->facts.qemu_status;
        char *sentence;
        int k;

        if (s->facts.finishing)
                k = status < 0 ? asprintf(&sentence, "QEMU was killed by signal %d (%s)", -status,
                                                 strsignal(-status))
                               : asprintf(&sentence, "QEMU exited with status %d", status);
        else if (status < 0)
                k = asprintf(&sentence, "QEMU was killed by signal %d (%s) during set-up", -status,
                                strsignal(-status));
        else
                k = asprintf(&sentence,
                                "QEMU exited with status %d during set-up; is '%s' QEMU 8.0 or later?",
                                status, s->request->config->qemu ?: s->request->caps->qemu);
        return k < 0 ? NULL : sentence;
}

/* At `cont` the secure processor has the last word. That it refused must not look like the end of a guest that ran. */
static void tell_unfinished(Session *s, const char *cause) {
        char *sentence;

        if (asprintf(&sentence, "%s: %s", cause, s->qemu_cause ?: s->error ?: "QEMU ended") < 0)
                return;
        free(s->error);
        s->error = sentence;
        free(s->qemu_cause);
        s->qemu_cause = NULL;
}

/* Is it worth another start? */
static bool lacks(const Session *s) {
        const RunRequest *q = s->request;

        *q->lacks |= s->lacks;
        return (s->lacks & RUN_LACKS_MON && !q->caps->monitor_object) ||
                        (s->lacks & RUN_LACKS_PRECONFIG && q->inputs->preconfig);
}

int run_vm(const RunRequest *request, RunResult *ret, char **reterr) {
        _cleanup_(session_done) Session s = {
                .request = request,
                .facts = { .guest_status = -1, .run = request->choices->run },
                .qemu = PROCESS_NONE,
                .swtpm = PROCESS_NONE,
                .tpm_state = -EBADF,
                .relay = PROCESS_NONE,
                .vsock = { .helper = PROCESS_NONE },
                .passt = HELPER_NONE,
                .journal = HELPER_NONE,
                .registration = { .process = PROCESS_NONE, .fd = -EBADF },
                .console = CONSOLE_NONE,
                .manager = { .fd = -EBADF },
                .control_socket = CONTROL_SOCKET_NONE,
                .out = FORWARD_NONE,
                .err = FORWARD_NONE,
                .notify = FORWARD_NONE,
                .input = RUN_INPUT_NONE,
                .qemu_stderr = FORWARD_NONE,
                .tpm_stderr = FORWARD_NONE,
                .measure = PROGRAM_CHILD_NONE,
                .fill = { .fd = -EBADF },
                .scan = { .process = PROCESS_NONE, .fd = -EBADF },
        };
        _cleanup_free_ char *error = NULL;
        bool early = false;
        int r = loop_new(&s.loop);

        if (r < 0)
                return error_set(reterr, r, "cannot create an event loop: %s", strerror(-r));

        r = start(&s, &error);
        run_guard_unwatch();
        if (r == -ESTALE && !session_interrupted(&s)) {
                session_end_signals(&s);
                run_release_signals();
                return r;
        }
        if (r >= 0)
                r = run(&s);
        else if (!session_interrupted(&s) && s.qmp_lost)
                wait_for_exit(&s);

        if (r < 0 && !session_interrupted(&s)) {
                if (!s.qemu_gone)
                        (void) session_fail(&s, r, error ?: strerror(-r));
                else
                        early = !s.facts.running;
        }
        if (s.facts.timed_out && !s.qemu_gone)
                (void) process_signal(&s.qemu, SIGKILL);
        if (s.facts.failed && !s.qemu_gone)
                process_done(&s.qemu);
        if (early)
                session_blame_shares(&s);
        session_end_control(&s);
        drain(&s);
        if (early && lacks(&s))
                return -ENOPROTOOPT;
        /* Its last words, when they are understood, are the better explanation. */
        if (early && !s.qemu_cause && !s.facts.failed)
                s.error = early_end(&s);

        *ret = run_result(&s.facts);
        if (ret->source == EXIT_SOURCE_QEMU && run_launch_failed(&s.facts))
                tell_unfinished(&s, ret->cause);
        report(&s, ret);
        take_detail(&s, ret);
        session_guard_copies(&s, ret);
        return 0;
}
