/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "matrix-report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "html.h"
#include "strutil.h"
#include "terminal.h"

/* Milliseconds are what timing on a machine with others can be repeated to. */
#define SECONDS_FORMAT      "%" PRIu64 ".%03" PRIu64
#define SECONDS_PARTS(usec) (usec) / 1000000, (usec) / 1000 % 1000

MatrixCounts matrix_count(const MatrixResult *results, size_t n) {
        MatrixCounts c = {};

        FOREACH_ARRAY(r, results, n) {
                c.passed += r->outcome == GUEST_PASSED;
                c.failed += r->outcome == GUEST_FAILED;
                c.errors += r->outcome == GUEST_ERROR;
                c.usec += r->usec;
        }
        c.skipped = n - c.passed - c.failed - c.errors;
        return c;
}

static int logs_to_json(const MatrixResult *r, Json **ret) {
        _cleanup_js_ Json *list = js_array();
        int k = list ? 0 : -ENOMEM;

        for (unsigned i = 1; k >= 0 && i <= r->attempts; i++) {
                _cleanup_free_ char *name = NULL;

                k = matrix_log_name(r->guest, i, &name);
                if (k >= 0)
                        k = js_append(list, js_string(name));
        }
        if (k >= 0)
                *ret = TAKE_PTR(list);
        return k;
}

int matrix_result_to_json(const MatrixResult *r, Json **ret) {
        _cleanup_js_ Json *j = NULL, *logs = NULL;
        bool ran = r->attempts > 0;
        int k = logs_to_json(r, &logs);

        if (k >= 0)
                k = js_build(&j, "{s:s, s:s, s:I, s:I, s:O}", "guest", r->guest->name, "result",
                                guest_outcome_to_string(r->outcome), "attempts", (long long) r->attempts,
                                "expected-status", (long long) r->guest->expect_status, "logs", logs);
        if (k >= 0 && ran)
                k = js_set(j, "status", r->stage == STAGE_ENDED ? js_u64(r->status) : js_null());
        if (k >= 0 && ran)
                k = js_set(j, "source", js_string(r->source));
        if (k >= 0 && ran)
                k = js_set(j, "cause", js_string(r->cause));
        if (k >= 0 && ran)
                k = js_set(j, "mode", js_string(r->mode));
        if (k >= 0 && ran)
                k = js_set(j, "digest", js_string(r->digest));
        if (k >= 0 && r->mode)
                k = js_set(j, "simulated", js_bool(r->simulated));
        if (k >= 0 && ran)
                k = js_set(j, "started", js_string(r->started));
        if (k >= 0 && ran)
                k = js_set(j, "usec", js_u64(r->usec));
        if (k >= 0 && ran)
                k = js_set(j, "launch-usec", r->cont_usec > 0 ? js_u64(r->cont_usec) : js_null());
        if (k >= 0)
                *ret = TAKE_PTR(j);
        return k;
}

static void attribute(Text *t, const char *name, const char *value) {
        if (!value)
                return;
        text_putf(t, " %s=\"", name);
        html_put(t, value);
        text_put(t, "\"");
}

static void property(Text *t, const char *name, const char *value) {
        if (!value)
                return;
        text_put(t, "      <property");
        attribute(t, "name", name);
        attribute(t, "value", value);
        text_put(t, "/>\n");
}

/* Escaped byte by byte, with `kept` replaced by `by`, which html_put() would make something else of. */
static void escaped(Text *t, const char *s, char kept, const char *by) {
        for (; s && *s; s++) {
                const char one[2] = { *s, 0 };

                if (*s == kept)
                        text_put(t, by);
                else
                        html_put(t, one);
        }
}

static void verdict(Text *t, const MatrixResult *r, const char *why) {
        const char *element = r->outcome == GUEST_FAILED ? "failure"
                        : r->outcome == GUEST_ERROR      ? "error"
                                                         : "skipped";

        if (r->outcome == GUEST_PASSED)
                return;
        text_putf(t, "      <%s", element);
        attribute(t, "message", why);
        if (r->outcome == GUEST_FAILED || r->outcome == GUEST_ERROR)
                attribute(t, "type", r->source ?: "launcher");
        text_put(t, "/>\n");
}

static int test_case(Text *t, const MatrixResult *r, const char *tail) {
        _cleanup_free_ char *why = matrix_result_why(r), *visible = NULL;
        char number[16];

        if (!why)
                return -ENOMEM;
        text_put(t, "    <testcase classname=\"cvmspawn\"");
        attribute(t, "name", r->guest->name);
        text_putf(t, " time=\"" SECONDS_FORMAT "\">\n", SECONDS_PARTS(r->usec));
        if (r->attempts > 0) {
                text_put(t, "      <properties>\n");
                (void) snprintf(number, sizeof(number), "%u", r->attempts);
                property(t, "attempts", number);
                property(t, "digest", r->digest);
                property(t, "mode", r->mode);
                if (r->mode)
                        property(t, "simulated", r->simulated ? "true" : "false");
                text_put(t, "      </properties>\n");
        }
        verdict(t, r, why);
        if (tail) {
                visible = terminal_visible(tail, strlen(tail));
                if (!visible)
                        return -ENOMEM;
                text_put(t, "      <system-out>");
                escaped(t, visible, '\n', "\n");
                text_put(t, "</system-out>\n");
        }
        text_put(t, "    </testcase>\n");
        return 0;
}

int matrix_to_junit(const char *name, const MatrixResult *results, size_t n, MatrixLogTail tail,
                void *userdata, char **ret) {
        MatrixCounts c = matrix_count(results, n);
        _cleanup_(text_done) Text t = {};

        text_put(&t, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite");
        attribute(&t, "name", name);
        text_putf(&t,
                        " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\" time=\"" SECONDS_FORMAT
                        "\">\n",
                        n, c.failed, c.errors, c.skipped, SECONDS_PARTS(c.usec));
        FOREACH_ARRAY(r, results, n) {
                _cleanup_free_ char *log = r->attempts > 0 && tail ? tail(r, userdata) : NULL;
                int k = test_case(&t, r, log);

                if (k < 0)
                        return k;
        }
        text_put(&t, "  </testsuite>\n</testsuites>\n");
        return text_finish(&t, ret);
}

/* A cell of a table. */
static void cell(Text *t, const char *s) {
        text_put(t, " ");
        escaped(t, s, '|', "\\|");
        text_put(t, " |");
}

int matrix_to_markdown(const char *name, const MatrixResult *results, size_t n, char **ret) {
        MatrixCounts c = matrix_count(results, n);
        _cleanup_(text_done) Text t = {};

        text_put(&t, "### cvmspawn: ");
        html_put(&t, name);
        text_putf(&t, "\n\n%zu passed, %zu failed, %zu with errors, %zu not run to their end\n\n", c.passed,
                        c.failed, c.errors, c.skipped);
        text_put(&t, "| guest | result | seconds | mode | launch digest | cause |\n|---|---|---:|---|---|---|\n");
        FOREACH_ARRAY(r, results, n) {
                _cleanup_free_ char *why = r->outcome == GUEST_PASSED ? strdup("") : matrix_result_why(r);
                _cleanup_free_ char *mode = NULL;

                if (!why)
                        return -ENOMEM;
                if (asprintf(&mode, "%s%s", r->simulated ? "simulated " : "", r->mode ?: "") < 0) {
                        mode = NULL;
                        return -ENOMEM;
                }
                text_put(&t, "|");
                cell(&t, r->guest->name);
                cell(&t, guest_outcome_to_string(r->outcome));
                text_putf(&t, " " SECONDS_FORMAT " |", SECONDS_PARTS(r->usec));
                cell(&t, mode);
                cell(&t, r->digest);
                cell(&t, why);
                text_put(&t, "\n");
        }
        return text_finish(&t, ret);
}
