/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn stop NAME: presses the power button, waits, and ends QEMU where the guest did not. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control-guest.h"
#include "error.h"
#include "log.h"
#include "strutil.h"
#include "verb.h"

#define PRESS_USEC (2 * UINT64_C(1000000)) /* a guest that is still booting does not hear the button */
#define END_USEC                                                                                            \
        (30 * UINT64_C(1000000)) /* for QEMU to write its disks, and for what reads the guest's output */
#define DEFAULT_USEC  (90 * UINT64_C(1000000))
#define PATIENCE_USEC (10 * UINT64_C(1000000)) /* for an answer */

typedef struct Arguments {
        bool force;
        uint64_t timeout; /* 0: none */
        VerbCommon common;
} Arguments;

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = {
        { "force", 'f', OPTION_NONE, NULL, "Ending", "End QEMU at once, as if the power was cut", NULL,
                        option_set_true, AT(force), 0 },
        { "timeout", 0, OPTION_REQUIRED, "TIME", NULL,
                        "Wait at most TIME for the guest to power off, then end\nQEMU (default: 90s; infinity: wait for ever)",
                        NULL, option_set_usec, AT(timeout), 0 },
        VERB_ROWS("Output"),
};

static const OptionRule rules[] = {
        { .options = "force", .excludes = "timeout", .why = "--force does not wait" },
};

static const OptionTable table = {
        .program = "cvmspawn stop",
        .arguments = "NAME",
        .summary = "Power a running guest off, by its machine name or the path of its control socket.",
        .zone = "host",
        .epilog = "Exit status: 0 it has ended, 3 it is not running, 1 usage error or failure. Manual: cvmspawn-stop(1).",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

static void forget(char **reterr) {
        free(*reterr);
        *reterr = NULL;
}

/* Waits for the end of the guest, which is that of the subscription: 1, or 0 if it did not come in time. */
static int wait_for_end(ControlGuest *watch, uint64_t deadline, bool *powered_off) {
        for (;;) {
                _cleanup_(varlink_reply_done) VarlinkReply reply = {};
                const char *reason;
                int r = varlink_connection_receive(&watch->connection, deadline, &reply);

                if (r == -ETIMEDOUT)
                        return 0;
                if (r == -ECONNRESET)
                        return 1;
                if (r < 0)
                        return r;
                reason = js_string_value(js_get(js_get(reply.parameters, "data"), "reason"));
                *powered_off = *powered_off || (reason && streq(reason, "guest-shutdown"));
        }
}

/* Presses the button until the guest ends or the time is over: 1, 0 or -errno. */
static int power_off(
                ControlGuest *g, ControlGuest *watch, uint64_t timeout, bool *powered_off, char **reterr) {
        uint64_t deadline = timeout > 0 ? varlink_usec() + timeout : UINT64_MAX;

        for (;;) {
                uint64_t now = varlink_usec();
                int r = control_call(g, "PowerOff", now + PATIENCE_USEC, reterr);

                /* It may end at this very moment. */
                if (r < 0 && r != -ECONNRESET && r != -EREMOTEIO)
                        return r;
                forget(reterr);
                r = wait_for_end(watch, MIN(deadline, now + PRESS_USEC), powered_off);
                if (r != 0 || varlink_usec() >= deadline)
                        return r;
        }
}

static int terminate(ControlGuest *g, ControlGuest *watch, bool *powered_off, char **reterr) {
        int r = control_call(g, "Terminate", varlink_usec() + PATIENCE_USEC, reterr);

        if (r < 0 && r != -ECONNRESET)
                return r;
        forget(reterr);
        r = wait_for_end(watch, varlink_usec() + END_USEC, powered_off);
        return r == 0 ? error_set(reterr, -ETIMEDOUT, "guest '%s' did not end after Terminate", g->name) : r;
}

static int stop(const Arguments *a, ControlGuest *g, ControlGuest *watch, bool *powered_off, char **reterr) {
        char *const events[] = { (char *) "SHUTDOWN", NULL };
        int r = control_subscribe(watch, events, varlink_usec() + PATIENCE_USEC, reterr);

        if (r < 0)
                return r;
        if (!a->force) {
                r = power_off(g, watch, a->timeout, powered_off, reterr);
                if (r != 0)
                        return r;
                log_notice("guest '%s' did not power off in time, ending it", g->name);
        }
        return terminate(g, watch, powered_off, reterr);
}

static int print_json(const ControlGuest *g, bool powered_off, JsStyle style) {
        _cleanup_js_ Json *j = NULL;
        int r = js_build(&j, "{s:s, s:s}", "name", g->name, "end",
                        powered_off ? "powered-off" : "terminated");

        return r < 0 ? r : verb_print_json(j, style);
}

static int stop_run(void *arguments, char **words, char **reterr) {
        const Arguments *a = arguments;
        _cleanup_(control_guest_done) ControlGuest g = { .connection = VARLINK_CONNECTION_NONE },
                                                   watch = { .connection = VARLINK_CONNECTION_NONE };
        bool powered_off = false;
        int r;

        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "expected the name of one guest; see --help");
        r = control_find(words[0], &g, reterr);
        if (r >= 0)
                r = control_find(words[0], &watch, reterr);
        if (r < 0)
                return control_failed(r, reterr);
        r = stop(a, &g, &watch, &powered_off, reterr);
        if (r < 0)
                return r;
        return a->common.json ? print_json(&g, powered_off, a->common.style) : 0;
}

static void stop_init(void *arguments) {
        ((Arguments *) arguments)->timeout = DEFAULT_USEC;
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .init = stop_init,
        .run = stop_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
