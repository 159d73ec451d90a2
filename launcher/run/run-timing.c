/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "progress.h"
#include "run-output.h"
#include "run.h"

void run_timing_begin(RunTiming *t) {
        *t = (RunTiming) { .begin = monotonic_usec() };
}

void run_timing_mark(RunTiming *t, const char *phase) {
        progress_note();
        if (t->n_marks < RUN_PHASES_MAX)
                t->marks[t->n_marks++] = (RunMark) { .phase = phase, .usec = monotonic_usec() - t->begin };
}

int run_timing_json(const RunTiming *t, Json **ret) {
        Json *list = js_array();
        int r = list ? 0 : -ENOMEM;

        for (size_t i = 0; i < t->n_marks && r >= 0; i++) {
                Json *mark;

                r = js_build(&mark, "{s:s, s:I}", "phase", t->marks[i].phase, "usec",
                                (long long) t->marks[i].usec);
                if (r >= 0)
                        r = js_append(list, mark);
        }
        if (r >= 0)
                r = js_build(ret, "{s:O}", "phases", list);
        js_unref(list);
        return r;
}
