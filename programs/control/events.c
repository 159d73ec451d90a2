/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn events NAME: what happens to a guest, until it ends. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "control-guest.h"
#include "error.h"
#include "strutil.h"
#include "terminal.h"
#include "verb.h"

#define SUBSCRIBE_USEC (10 * UINT64_C(1000000))

typedef struct Arguments {
        char **events;
        VerbCommon common;
} Arguments;

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = {
        { "event", 0, OPTION_REQUIRED, "NAME", "Events",
                        "Show only this event of QEMU's monitor, such as SHUTDOWN\n(repeatable)", NULL,
                        option_append, AT(events), OPTION_LIST },
        VERB_ROWS("Output"),
};

static const OptionTable table = {
        .program = "cvmspawn events",
        .arguments = "NAME",
        .summary = "Show the events of a running guest, one per line, until it ends.",
        .zone = "host",
        .epilog = "Exit status: 0 the guest has ended, 3 it is not running, 1 usage error or failure. Manual: cvmspawn-events(1).",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

/* RFC 3339, in UTC. */
static int time_text(char *ret, size_t size) {
        struct timespec ts;
        struct tm tm;
        char day[32];
        int n;

        if (clock_gettime(CLOCK_REALTIME, &ts) < 0)
                return -errno;
        if (!gmtime_r(&ts.tv_sec, &tm) || strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
                return -EOVERFLOW;
        n = snprintf(ret, size, "%s.%06ldZ", day, ts.tv_nsec / 1000);
        return n < 0 || (size_t) n >= size ? -EOVERFLOW : 0;
}

static int print_json(const char *now, const char *event, const Json *data, JsStyle style) {
        _cleanup_js_ Json *j = NULL;
        int r = js_build(&j, "{s:s, s:s}", "time", now, "event", event);

        if (r >= 0 && data)
                r = js_set(j, "data", js_ref((Json *) data));
        return r < 0 ? r : verb_print_json(j, style);
}

static int print_text(const char *now, const char *event, const Json *data) {
        _cleanup_free_ char *text = data ? js_text(data, JS_SHORT) : strdup(""), *name = NULL,
                            *visible = NULL;

        if (!text)
                return -ENOMEM;
        name = terminal_visible(event, strlen(event));
        visible = terminal_visible(text, strlen(text));
        if (!name || !visible)
                return -ENOMEM;
        return printf("%s %s%s%s\n", now, name, *visible ? " " : "", visible) < 0 ? -errno : 0;
}

static int print_event(const Arguments *a, const Json *parameters, char **reterr) {
        const char *event = js_string_value(js_get(parameters, "event"));
        const Json *data = js_get(parameters, "data");
        char now[64];
        int r = time_text(now, sizeof(now));

        if (r >= 0 && !event)
                return error_set(reterr, -EBADMSG,
                                "an event without a name arrived: this is not a guest of cvmspawn");
        if (r >= 0)
                r = a->common.json ? print_json(now, event, data, a->common.style)
                                   : print_text(now, event, data);
        /* Each line at once; a reader that is gone is not waited for. */
        if (r >= 0 && fflush(stdout) != 0)
                r = error_set(reterr, -errno, "cannot write to standard output: %m");
        return r;
}

static int events_run(void *arguments, char **words, char **reterr) {
        const Arguments *a = arguments;
        _cleanup_(control_guest_done) ControlGuest g = { .connection = VARLINK_CONNECTION_NONE };
        int r;

        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "expected the name of one guest; see --help");
        r = control_find(words[0], &g, reterr);
        if (r >= 0)
                r = control_subscribe(&g, a->events, varlink_usec() + SUBSCRIBE_USEC, reterr);
        while (r >= 0) {
                _cleanup_(varlink_reply_done) VarlinkReply reply = {};

                r = varlink_connection_receive(&g.connection, UINT64_MAX, &reply);
                if (r == -ECONNRESET)
                        return 0;
                if (r < 0)
                        return error_set(reterr, r, "cannot read the events of guest '%s': %s", g.name,
                                        strerror(-r));
                r = print_event(a, reply.parameters, reterr);
        }
        return control_failed(r, reterr);
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .run = events_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
