/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What QEMU reports while the guest runs, and two ends that it does not report: a panic without a panic device, and a boot that
 * the firmware refused. */

#include <errno.h>
#include <string.h>

#include "log.h"
#include "qmp-commands.h"
#include "run-session.h"
#include "strutil.h"

#define SAMPLE_FIRST_USEC 1000000u
#define SAMPLE_EVERY_USEC 200000u

static int on_status(QmpClient *c, int error, const Json *value, _unused_ const char *description,
                void *userdata) {
        Session *s = userdata;
        QmpStatus status;

        if (error < 0 || qmp_status_parse(value, &status, NULL) < 0 || status.running)
                return 0;
        if (status.state == QMP_STATE_INTERNAL_ERROR || status.state == QMP_STATE_GUEST_PANICKED) {
                if (status.state == QMP_STATE_INTERNAL_ERROR)
                        s->facts.cpu_failed = true;
                else
                        s->facts.panicked = true;
                session_end(s, END_QUIT);
        } else if (status.state == QMP_STATE_IO_ERROR) {
                log_error("the guest's disk cannot be read or written (is the host's disk full?), ending the guest");
                (void) session_fail(s, -EIO, "input or output error on the guest's disk");
        }
        (void) c;
        return 0;
}

/* qapi/run-state.json, GuestPanicInformationSev: an encrypted guest that gave up says why in two numbers. */
static void on_panic(Session *s, const Json *data) {
        const Json *info = js_get(data, "info");
        const char *type = js_string_value(js_get(info, "type"));
        uint64_t set, code;

        s->facts.panicked = true;
        if (!type || !streq(type, "sev") || js_u64_value(js_get(info, "set"), &set) < 0 ||
                        js_u64_value(js_get(info, "code"), &code) < 0)
                return;
        free(s->guest_cause);
        s->guest_cause = explain_termination(set, code);
}

/* --reboot=reset: what the guest said before counts no more. */
static void on_reset(Session *s, const Json *data) {
        bool guest;

        if (!s->facts.running || js_bool_value(js_get(data, "guest"), &guest) < 0 || !guest)
                return;
        s->facts.guest_status = -1;
        s->panic.timer = loop_source_unref(s->panic.timer);
        log_notice("the guest reset and starts again");
        event_emit(s->request->events, "reset", NULL);
}

int session_on_event(_unused_ QmpClient *c, const char *name, const Json *data, void *userdata) {
        Session *s = userdata;

        session_tell_control(s, name, data);
        if (streq(name, "SHUTDOWN")) {
                QmpShutdown reason = qmp_shutdown_parse(data);

                s->facts.guest_shutdown |= reason == QMP_SHUTDOWN_GUEST;
                s->facts.guest_reset |= reason == QMP_SHUTDOWN_GUEST_RESET;
                s->facts.panicked |= reason == QMP_SHUTDOWN_GUEST_PANIC;
        } else if (streq(name, "RESET"))
                on_reset(s, data);
        else if (streq(name, "GUEST_PANICKED"))
                on_panic(s, data);
        else if (streq(name, "STOP")) {
                s->stopped = true;
                if (s->facts.running)
                        return session_watch_stop(s);
        } else if (streq(name, "RESUME"))
                s->stopped = false;
        return 0;
}

int session_watch_stop(Session *s) {
        if (!s->stopped || s->facts.guest_shutdown || s->end_step > 0)
                return 0;
        /* The guest did not ask for it: why did it stop? */
        return qmp_call(s->qmp, "query-status", NULL, on_status, s) == -ENOMEM ? -ENOMEM : 0;
}

void session_on_refusal(Session *s) {
        s->sampler = loop_source_unref(s->sampler);
        s->facts.refused = true;
        session_end(s, END_QUIT);
}

/* A refused boot is recognised by state, not by time: the CPU sits in the firmware's dead loop and the console is silent. A good
 * initrd of many MiB is silent for seconds too while it is hashed, but in another loop. */
static int on_code(_unused_ QmpClient *c, int error, const QmpCode *code, void *userdata) {
        Session *s = userdata;

        if (error < 0 || s->end_step > 0 || !s->sampler)
                return 0;
        qmp_deadloop_add(&s->deadloop, code);
        if (s->console.seen > 0) {
                s->sampler = loop_source_unref(s->sampler);
                return 0;
        }
        if (!qmp_deadloop_reached(&s->deadloop))
                return 0;
        session_on_refusal(s);
        return 0;
}

static int on_sample_time(LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        Session *s = userdata;

        if (s->console.seen > 0 || s->end_step > 0) {
                s->sampler = loop_source_unref(s->sampler);
                return 0;
        }
        if (qmp_read_rip(s->qmp, /* cpu_index= */ 0, on_code, s) < 0)
                return 0;
        return loop_source_rearm(source, SAMPLE_EVERY_USEC);
}

int session_watch_refusal(Session *s) {
        /* Registers of a real confidential guest cannot be read; without a table nothing is refused. */
        if (!s->request->choices->simulated || s->request->choices->console == CONSOLE_NATIVE)
                return 0;
        s->console.seen = 0;
        return loop_add_timer(s->loop, SAMPLE_FIRST_USEC, on_sample_time, s, &s->sampler);
}
