/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a person sees of a matrix, on standard error. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"
#include "matrix-report.h"
#include "run-matrix.h"
#include "strutil.h"

#define CLEAR_BELOW "\033[J"

struct MatrixShow {
        const MatrixRun *m;
        bool live;
        size_t lines; /* that are on the screen, to be drawn over */
};

int matrix_show_new(const MatrixRun *m, MatrixShow **ret) {
        const char *term = getenv("TERM");
        MatrixShow *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        *s = (MatrixShow) { .m = m,
                .live = !m->args->quiet && isatty(STDERR_FILENO) && !streq_ptr(term, "dumb") };
        *ret = s;
        return 0;
}

MatrixShow *matrix_show_free(MatrixShow *s) {
        free(s);
        return NULL;
}

bool matrix_show_live(const MatrixShow *s) {
        return s->live;
}

/* A terminal that is gone is not waited for, and nothing depends on it. */
static void put(Text *t) {
        if (t->error == 0 && t->size > 0)
                (void) !write(STDERR_FILENO, t->data, t->size);
}

static void begin(MatrixShow *s, Text *t) {
        if (s->lines > 0)
                text_putf(t, "\033[%zuF" CLEAR_BELOW, s->lines);
        s->lines = 0;
}

void matrix_show_clear(MatrixShow *s) {
        _cleanup_(text_done) Text t = {};

        if (!s->live)
                return;
        begin(s, &t);
        put(&t);
}

static void line(MatrixShow *s, Text *t, unsigned columns, const char *text) {
        text_putf(t, "%.*s\n", (int) columns - 1, text);
        s->lines++;
}

static uint64_t tenths(uint64_t usec) {
        return usec / 100000 % 10;
}

void matrix_show_draw(MatrixShow *s) {
        const MatrixRun *m = s->m;
        struct winsize w = {};
        _cleanup_(text_done) Text t = {};
        size_t ended = 0, running = 0, bad = 0;
        char text[256];

        if (!s->live)
                return;
        if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_row < 4 || w.ws_col < 20)
                w = (struct winsize) { .ws_row = 24, .ws_col = 80 };
        begin(s, &t);
        FOREACH_ARRAY(r, m->results, m->n) {
                ended += r->stage == STAGE_ENDED;
                bad += r->stage == STAGE_ENDED && r->outcome != GUEST_PASSED;
                if (r->stage == STAGE_WAITING || r->stage == STAGE_ENDED)
                        continue;
                if (++running + 2 > w.ws_row)
                        continue;
                (void) snprintf(text, sizeof(text), "  %-24s %-8s %4" PRIu64 " s%s", r->guest->name,
                                guest_stage_to_string(r->stage), (matrix_usec() - r->begun) / 1000000,
                                r->attempts > 1 ? ", again" : "");
                line(s, &t, w.ws_col, text);
        }
        (void) snprintf(text, sizeof(text), "  %zu of %zu ended, %zu not passed, %zu running%s", ended, m->n,
                        bad, running, m->signal > 0 ? "; ending them" : "");
        line(s, &t, w.ws_col, text);
        put(&t);
}

void matrix_show_ended(MatrixShow *s, const MatrixResult *r, bool again) {
        _cleanup_free_ char *why = r->outcome == GUEST_PASSED ? NULL : matrix_result_why(r);

        if (s->m->args->quiet)
                return;
        matrix_show_clear(s);
        log_notice("guest '%s' %s after %" PRIu64 ".%" PRIu64 " s%s%s%s", r->guest->name,
                        r->outcome == GUEST_PASSED                   ? "passed"
                                        : r->outcome == GUEST_FAILED ? "failed"
                                        : r->outcome == GUEST_ERROR  ? "could not run"
                                                                     : guest_outcome_to_string(r->outcome),
                        r->usec / 1000000, tenths(r->usec), why ? ": " : "", why ?: "",
                        again ? "; it is run again" : "");
}
