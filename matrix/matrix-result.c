/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "matrix-result.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "strutil.h"

#define STATUS_TIMEOUT 124u
#define STATUS_REFUSED 125u

static const char *const outcomes[] = {
        [GUEST_NOT_RUN] = "not-run",
        [GUEST_PASSED] = "passed",
        [GUEST_FAILED] = "failed",
        [GUEST_ERROR] = "error",
        [GUEST_CANCELLED] = "cancelled",
        [GUEST_INTERRUPTED] = "interrupted",
};
static_assert(ELEMENTSOF(outcomes) == _GUEST_OUTCOME_MAX, "one word per outcome");

static const char *const stages[] = {
        [STAGE_WAITING] = "waiting",
        [STAGE_STARTING] = "starting",
        [STAGE_BOOTING] = "booting",
        [STAGE_RUNNING] = "running",
        [STAGE_ENDED] = "ended",
};
static_assert(ELEMENTSOF(stages) == _GUEST_STAGE_MAX, "one word per stage");

const char *guest_outcome_to_string(GuestOutcome o) {
        return outcomes[o];
}

const char *guest_stage_to_string(GuestStage s) {
        return stages[s];
}

static void forget(MatrixResult *r) {
        free(r->source);
        free(r->cause);
        free(r->digest);
        free(r->mode);
}

void matrix_result_done(MatrixResult *r) {
        forget(r);
        *r = (MatrixResult) {};
}

void matrix_result_begin(MatrixResult *r) {
        forget(r);
        *r = (MatrixResult) { .guest = r->guest, .attempts = r->attempts + 1, .stage = STAGE_STARTING };
}

static int keep(char **ret, const Json *value) {
        const char *text = js_string_value(value);
        char *copy;

        if (!text)
                return 0;
        copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        free(*ret);
        *ret = copy;
        return 0;
}

static uint64_t cont_of(const Json *phases) {
        uint64_t usec = 0;

        for (size_t i = 0; i < js_length(phases); i++)
                if (streq_ptr(js_string_value(js_get(js_at(phases, i), "phase")), "cont") &&
                                js_u64_value(js_get(js_at(phases, i), "usec"), &usec) >= 0)
                        return usec;
        return 0;
}

int matrix_result_event(MatrixResult *r, const char *line, size_t n) {
        _cleanup_js_ Json *j = NULL;
        const char *event;
        int k = 0;

        if (js_parse(line, n, &j, NULL) < 0)
                return 0;
        event = js_string_value(js_get(j, "event"));
        if (streq_ptr(event, "digest")) {
                if (js_bool_value(js_get(j, "simulated"), &r->simulated) < 0)
                        r->simulated = false;
                k = keep(&r->digest, js_get(j, "digest"));
                if (k >= 0)
                        k = keep(&r->mode, js_get(j, "mode"));
        } else if (streq_ptr(event, "started")) {
                r->stage = STAGE_BOOTING;
                r->cont_usec = cont_of(js_get(j, "phases"));
        } else if (streq_ptr(event, "ready"))
                r->stage = STAGE_RUNNING;
        else if (streq_ptr(event, "exit")) {
                k = keep(&r->source, js_get(j, "source"));
                if (k >= 0)
                        k = keep(&r->cause, js_get(j, "cause"));
        }
        return k;
}

void matrix_result_end(MatrixResult *r, unsigned status) {
        r->stage = STAGE_ENDED;
        r->status = status;
        if (status == r->guest->expect_status)
                r->outcome = GUEST_PASSED;
        else
                r->outcome = streq_ptr(r->source, "guest") ? GUEST_FAILED : GUEST_ERROR;
}

char *matrix_result_why(const MatrixResult *r) {
        const char *cause = r->cause ?: "";
        const char *colon = r->cause ? ": " : "";
        char *text;
        int n;

        switch (r->outcome) {
        case GUEST_NOT_RUN:
                return strdup("not started");
        case GUEST_CANCELLED:
                return strdup("ended, since another guest failed");
        case GUEST_INTERRUPTED:
                return strdup("ended by the interruption");
        case GUEST_FAILED:
                n = asprintf(&text, "exit status %u, expected %u%s%s", r->status, r->guest->expect_status,
                                colon, cause);
                break;
        default:
                if (r->status == STATUS_TIMEOUT)
                        n = asprintf(&text, "the time limit ended the guest%s%s", colon, cause);
                else if (r->status == STATUS_REFUSED && r->cause)
                        n = asprintf(&text, "%s", r->cause);
                else
                        n = asprintf(&text, "exit status %u of cvmspawn, expected %u%s%s", r->status,
                                        r->guest->expect_status, colon, cause);
        }
        return n < 0 ? NULL : text;
}

int matrix_log_name(const MatrixGuest *g, unsigned attempt, char **ret) {
        int n = attempt <= 1 ? asprintf(ret, "%s.log", g->name)
                             : asprintf(ret, "%s@%u.log", g->name, attempt);

        if (n >= 0)
                return 0;
        *ret = NULL;
        return -ENOMEM;
}
