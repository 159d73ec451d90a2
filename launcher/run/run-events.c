/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "run-output.h"
#include "run.h"
#include "strutil.h"

static int open_sink(int fd, const char *where, EventSink *ret) {
        Output *out = malloc(sizeof(Output));
        int r;

        if (!out)
                return -ENOMEM;
        r = output_open(out, fd);
        if (r < 0) {
                free(out);
                return r;
        }
        *ret = (EventSink) { .out = out, .where = where };
        return 0;
}

int event_sink_open(const VmConfig *config, EventSink *ret, char **reterr) {
        unsigned number;
        int r;

        *ret = (EventSink) {};
        if (!config->status_fd) {
                r = config->json == JSON_SHORT_MODE ? open_sink(STDOUT_FILENO, "standard output", ret) : 0;
                return r < 0 ? error_set(reterr, r, "--json=short: cannot write to standard output: %s",
                                               strerror(-r))
                             : 0;
        }

        if (parse_unsigned(config->status_fd, &number) < 0 || number > INT32_MAX)
                return error_set(reterr, -EINVAL, "--status-fd: expected a descriptor number, not '%s'",
                                config->status_fd);
        /* A copy that no child inherits. */
        r = open_sink((int) number, "the descriptor of --status-fd=", ret);
        return r < 0 ? error_set(reterr, r, "--status-fd: descriptor %u is not open", number) : 0;
}

void event_sink_done(EventSink *sink) {
        if (sink->out)
                output_done(sink->out);
        free(sink->out);
        *sink = (EventSink) {};
}

void event_sink_attach(const EventSink *sink, Loop *loop) {
        if (sink->out)
                output_attach(sink->out, loop);
}

int event_sink_finish(const EventSink *sink, uint64_t deadline, char **reterr) {
        int r;

        if (!sink->out)
                return 0;
        r = output_drain(sink->out, deadline);
        if (r >= 0)
                r = sink->out->error;
        if (r >= 0 && sink->out->dropped == 0)
                return 0;
        return error_set(reterr, r < 0 ? r : -ENOBUFS, "cannot write events to %s: %s", sink->where,
                        r == -EINTR || r == -ETIMEDOUT || r >= 0 ? "nobody reads them" : strerror(-r));
}

/* RFC 3339, in UTC. */
static Json *time_text(uint64_t usec_from_now) {
        char day[32], text[64];
        struct timespec ts;
        uint64_t usec;
        time_t seconds;
        struct tm tm;

        if (clock_gettime(CLOCK_REALTIME, &ts) < 0)
                return NULL;
        usec = (uint64_t) ts.tv_nsec / 1000 + usec_from_now % 1000000;
        seconds = ts.tv_sec + (time_t) (usec_from_now / 1000000 + usec / 1000000);
        if (!gmtime_r(&seconds, &tm) || strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
                return NULL;
        (void) snprintf(text, sizeof(text), "%s.%06uZ", day, (unsigned) (usec % 1000000));
        return js_string(text);
}

int event_text(const char *name, uint64_t usec, Json *data, char **ret) {
        _cleanup_js_ Json *j = data ?: js_object();
        _cleanup_free_ char *text = NULL;

        if (!j || js_set(j, "event", js_string(name)) < 0 || js_set(j, "time", time_text(usec)) < 0)
                return -ENOMEM;
        text = js_text(j, JS_SHORT);
        if (!text || asprintf(ret, "%s\n", text) < 0)
                return -ENOMEM;
        return 0;
}

int event_exit_data(const RunResult *result, const char *cause, Json **ret) {
        return js_build(ret, "{s:s, s:i, s:s?}", "source", exit_source_to_string(result->source), "status",
                        result->status, "cause", cause);
}

void event_emit(const EventSink *sink, const char *name, Json *data) {
        _cleanup_free_ char *line = NULL;

        if (!sink->out)
                js_unref(data);
        else if (event_text(name, 0, data, &line) >= 0)
                /* The reader may be gone: the guest continues. */
                output_write(sink->out, line, strlen(line));
}
