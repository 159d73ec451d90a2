/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The measure program while QEMU starts. */

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "error.h"
#include "progress.h"
#include "run-session.h"

static int on_answer(LoopSource *source, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        Session *s = userdata;
        int r;

        s->measure_source = loop_source_unref(source);
        s->measure_result = program_child_finish(&s->measure, &s->answer.json, &s->measure_error);
        s->measure_ready = true;
        run_timing_mark(s->request->timing, "digest");
        r = session_digest_arrived(s, s->measure_result < 0 ? NULL : s->answer.json);
        return r < 0 ? session_fail(s, r, "cannot start the scan of the initrd") : 0;
}

/* For what is known of an initrd its bytes alone count. */
static int start_child(Session *s, char **reterr) {
        const LaunchPlan *plan = &s->request->inputs->plan;
        LaunchPlan initrd = { .cpu_model = plan->cpu_model, .initrd = plan->initrd };

        return measure_child_start(s->request->measure ? plan : &initrd, &s->measure, reterr);
}

static int watch(Session *s, char **reterr) {
        int r = start_child(s, reterr);

        return r < 0 ? r : loop_add_io(s->loop, s->measure.out, EPOLLIN, on_answer, s, &s->measure_source);
}

/* A scan that takes long is worth keeping. */
static int on_long_scan(LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        Session *s = userdata;

        s->measure_source = loop_source_unref(source);
        if (!s->scan.done)
                (void) !watch(s, NULL);
        return 0;
}

int session_start_measure(Session *s, char **reterr) {
        if (s->request->measure || s->scan.for_digest)
                return watch(s, reterr);
        if (s->scan.done || !s->request->inputs->scan)
                return 0;
        return loop_add_timer(s->loop, LONG_SCAN_USEC, on_long_scan, s, &s->measure_source);
}

int session_check_measure(Session *s, char **reterr) {
        if (!s->request->measure) {
                /* Nobody waits for the digest of what is known by now. */
                session_end_measure(s);
                return 0;
        }
        progress_step("computing the launch digest");
        while (!s->measure_ready && !session_interrupted(s) && !s->qemu_gone) {
                int r = loop_once(s->loop, UINT64_MAX);

                if (r < 0)
                        return r;
        }
        if (!s->measure_ready)
                return -ECANCELED;
        if (s->measure_result < 0)
                return error_set(reterr, s->measure_result, "%s",
                                s->measure_error ?: strerror(-s->measure_result));
        return s->request->measured(&s->answer, s->request->userdata, reterr);
}

void session_end_measure(Session *s) {
        s->measure_source = loop_source_unref(s->measure_source);
        program_child_done(&s->measure);
        measure_answer_done(&s->answer);
        free(s->measure_error);
        s->measure_error = NULL;
}
