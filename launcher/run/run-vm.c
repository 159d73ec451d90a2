/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The phases of one launch, in order: channels, companions, QEMU, set-up by QMP, the verdict on the initrd, cont, wait, tidy up. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "log.h"
#include "qmp-commands.h"
#include "run-session.h"
#include "strutil.h"

#define GREETING_USEC (60 * UINT64_C(1000000))  /* QEMU may be busy with a large --ram= before it answers */
#define CONT_USEC     (120 * UINT64_C(1000000)) /* SNP measures every page now */
#define EXIT_USEC     (2 * UINT64_C(1000000))   /* between a closed QMP socket and the end of the process */

int session_fail(Session *s, int r, const char *sentence) {
        if (!s->facts.failed) {
                s->facts.failed = true;
                s->error = strdup(sentence);
        }
        if (s->facts.running)
                session_end(s, END_QUIT);
        return r;
}

static int on_disconnect(_unused_ QmpClient *c, int error, void *userdata) {
        Session *s = userdata;

        s->qmp_lost = true;
        /* QEMU ends: its exit is what counts. Anything else is a QEMU that lost its mind; before the guest runs wait_for_exit()
         * tells them apart. */
        if (error < 0 && s->facts.running && !s->qemu_gone)
                session_end(s, END_KILL);
        return 0;
}

static int set_up_channels(Session *s) {
        int r = session_start_console(s);

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

bool session_interrupted(const Session *s) {
        return s->facts.signal > 0 || s->facts.timed_out;
}

/* Before `cont`: is there somebody in the guest who takes the credentials? -ESTALE: not there, try SMBIOS. */
static int check_initrd(Session *s, char **reterr) {
        const RunRequest *q = s->request;

        while (!s->scan.done && !session_interrupted(s) && !s->qemu_gone) {
                int r = loop_once(s->loop, UINT64_MAX);

                if (r < 0)
                        return r;
        }
        if (!s->scan.done)
                return -ECANCELED;
        if (s->scan.result == 0) {
                if (!q->choices->run || !q->inputs->scan || s->scan.has_sh)
                        return 0;
                return error_set(reterr, -ENOEXEC, SCAN_NO_SHELL);
        }
        if (q->may_fall_back) {
                log_notice("%s; passing them as SMBIOS strings instead", s->scan.sentence);
                return -ESTALE;
        }
        return error_set(reterr, s->scan.result, "%s",
                        s->scan.sentence ?: "the initrd cannot import credentials");
}

static int on_answer(LoopSource *source, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        Session *s = userdata;

        s->measure_ready = true;
        return loop_source_set_io_events(source, 0);
}

/* The answer about what QEMU holds by now: printed, compared, recorded before the first instruction. */
static int check_measure(Session *s, char **reterr) {
        _cleanup_(loop_source_unrefp) LoopSource *source = NULL;
        _cleanup_(measure_answer_done) MeasureAnswer answer = {};
        int r;

        if (!s->request->measure)
                return 0;
        r = loop_add_io(s->loop, s->measure.out, EPOLLIN, on_answer, s, &source);
        while (r >= 0 && !s->measure_ready && !session_interrupted(s) && !s->qemu_gone)
                r = loop_once(s->loop, UINT64_MAX);
        if (r < 0)
                return r;
        if (!s->measure_ready)
                return -ECANCELED;
        r = program_child_finish(&s->measure, &answer.json, reterr);
        if (r < 0)
                return r;
        return s->request->measured(&answer, s->request->userdata, reterr);
}

static int set_up(Session *s, char **reterr) {
        QmpVersion version;
        int r = qmp_query_version_wait(s->qmp, GREETING_USEC, &version, reterr);

        if (r < 0)
                return r;
        if (version.major < 8)
                return error_set(reterr, -EOPNOTSUPP,
                                "QEMU %u.%u is too old: 8.0 or later is needed, 10.0 for --coco=",
                                version.major, version.minor);
        r = session_add_disk(s, reterr);
        if (r < 0)
                return r;
        r = check_initrd(s, reterr);
        if (r < 0)
                return r;
        r = check_measure(s, reterr);
        if (r < 0)
                return r;
        /* Nothing is opened or started any more. */
        r = run_confine_self(s->request->user);
        if (r < 0 && r != -EOPNOTSUPP)
                return error_set(reterr, r, "cannot give up what the launcher does not need: %s",
                                strerror(-r));
        if (s->request->before_cont) {
                r = s->request->before_cont(s, s->request->userdata, reterr);
                if (r < 0)
                        return r;
        }
        s->facts.finishing = true;
        return qmp_call_wait(s->qmp, "cont", NULL, CONT_USEC, NULL, reterr);
}

static int start(Session *s, char **reterr) {
        int fd, r;

        r = session_watch_signals(s);
        if (r >= 0)
                r = session_watch_timeout(s);
        if (r >= 0 && s->request->before_spawn)
                r = s->request->before_spawn(s, s->request->userdata, reterr);
        if (r >= 0)
                r = set_up_channels(s);
        if (r < 0)
                return r;
        r = session_start_tpm(s, reterr);
        if (r >= 0)
                r = session_start_relay(s, reterr);
        if (r < 0)
                return r;

        fd = session_channel(s, LAUNCH_FD_QMP);
        if (fd < 0)
                return fd;
        r = session_spawn_qemu(s, reterr);
        if (r < 0) {
                (void) fd_close(fd);
                return r;
        }
        r = start_qmp(s, fd);
        if (r < 0)
                return r;
        r = session_start_scan(s);
        if (r < 0)
                return error_set(reterr, r, "cannot start the scan of the initrd: %s", strerror(-r));
        if (s->request->measure) {
                r = measure_child_start(&s->request->inputs->plan, &s->measure, reterr);
                if (r < 0)
                        return r;
        }
        return set_up(s, reterr);
}

static int run(Session *s) {
        int r;

        s->facts.running = true;
        event_emit(s->request->events, "started", NULL);
        if (!s->request->choices->run) {
                /* Nobody in the guest need say when it is ready; who does is not repeated. */
                s->ready_sent = true;
                event_emit(s->request->events, "ready", NULL);
                session_notify_manager(s, "READY=1");
        }
        r = session_watch_stop(s);
        if (r >= 0)
                r = session_watch_refusal(s);
        if (r < 0 || s->qemu_gone)
                return r;
        return loop_run(s->loop);
}

/* What was said before the end. Whoever reads our output slowly is waited for, until a signal says not to. */
static void drain(Session *s) {
        Forward *const forwards[] = { &s->qemu_stderr, &s->tpm_stderr, &s->notify, &s->out, &s->err,
                &s->console.forward };

        session_end_signals(s);
        for (size_t i = 0; i < ELEMENTSOF(forwards); i++)
                if (forward_drain(forwards[i]) < 0)
                        break;
        session_end_qemu_lines(s);
        session_restore_terminal(s);
}

static void session_done(Session *s) {
        session_end_signals(s);
        s->timeout = loop_source_unref(s->timeout);
        s->patience = loop_source_unref(s->patience);
        s->sampler = loop_source_unref(s->sampler);
        s->panic_timer = loop_source_unref(s->panic_timer);
        s->qmp = qmp_client_unref(s->qmp);
        s->qemu_source = loop_source_unref(s->qemu_source);
        if (s->qemu_gone)
                process_forget(&s->qemu);
        process_done(&s->qemu);
        process_done(&s->swtpm);
        process_done(&s->relay);
        session_end_scan(s);
        program_child_done(&s->measure);
        session_end_console(s);
        forward_done(&s->qemu_stderr);
        forward_done(&s->tpm_stderr);
        forward_done(&s->out);
        forward_done(&s->err);
        forward_done(&s->notify);
        session_close_channels(s);
        s->loop = loop_unref(s->loop);
        free(s->error);
        free(s->qemu_cause);
        free(s->guest_cause);
}

/* Says once why it ended, best explanation first. */
static void report(Session *s, const RunResult *result) {
        if (s->facts.guest_status >= 0 || result->source == EXIT_SOURCE_SIGNAL)
                return;
        if (s->error)
                log_error("%s", s->error);
        /* What QEMU said on its way is no cause where the guest itself came to an end. */
        if (s->guest_cause && result->source == EXIT_SOURCE_GUEST)
                log_error("%s", s->guest_cause);
        else if (s->qemu_cause && result->status != 0 && result->source != EXIT_SOURCE_GUEST)
                log_error("%s", s->qemu_cause);
        else if (result->cause && !s->error)
                log_error("%s", result->cause);
        if (result->status != 0)
                session_show_tail(s);
}

/* QEMU ended by itself before the guest ran; owned. What it said stands above. */
static char *early_end(const Session *s) {
        int status = s->facts.qemu_status;
        char *sentence;
        int k;

        if (s->facts.finishing)
                k = status < 0 ? asprintf(&sentence, "QEMU was killed by signal %d (%s)", -status,
                                                 strsignal(-status))
                               : asprintf(&sentence, "QEMU ended with status %d", status);
        else if (status < 0)
                k = asprintf(&sentence, "QEMU was killed by signal %d (%s) while it was set up", -status,
                                strsignal(-status));
        else
                k = asprintf(&sentence,
                                "QEMU ended with status %d while it was set up; is '%s' a QEMU of version "
                                "8.0 "
                                "or later?",
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

int run_vm(const RunRequest *request, RunResult *ret, char **reterr) {
        _cleanup_(session_done) Session s = {
                .request = request,
                .facts = { .guest_status = -1, .run = request->choices->run },
                .qemu = PROCESS_NONE,
                .swtpm = PROCESS_NONE,
                .relay = PROCESS_NONE,
                .console = { .forward = FORWARD_NONE, .input_fd = -EBADF },
                .out = FORWARD_NONE,
                .err = FORWARD_NONE,
                .notify = FORWARD_NONE,
                .qemu_stderr = FORWARD_NONE,
                .tpm_stderr = FORWARD_NONE,
                .measure = PROGRAM_CHILD_NONE,
                .scan = { .process = PROCESS_NONE, .fd = -EBADF },
        };
        _cleanup_free_ char *error = NULL;
        bool early = false;
        int r;

        r = loop_new(&s.loop);
        if (r < 0)
                return error_set(reterr, r, "cannot make an event loop: %s", strerror(-r));

        r = start(&s, &error);
        if (r == -ESTALE)
                return r;
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
        if (s.facts.failed && !s.qemu_gone)
                process_done(&s.qemu);
        drain(&s);
        if (early && s.without_mon && !request->caps->monitor_object)
                return -ENOPROTOOPT;
        /* Its last words, when they are understood, are the better explanation. */
        if (early && !s.qemu_cause)
                s.error = early_end(&s);

        *ret = run_result(&s.facts);
        if (ret->source == EXIT_SOURCE_QEMU && run_launch_failed(&s.facts))
                tell_unfinished(&s, ret->cause);
        report(&s, ret);
        if (ret->status != 0 && ret->source != EXIT_SOURCE_SIGNAL && s.facts.guest_status < 0)
                ret->detail = s.error                              ? TAKE_PTR(s.error)
                                : ret->source == EXIT_SOURCE_GUEST ? TAKE_PTR(s.guest_cause)
                                                                   : TAKE_PTR(s.qemu_cause);
        return 0;
}
