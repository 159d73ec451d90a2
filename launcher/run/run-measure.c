/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Asks the measure program about a LaunchPlan. The launcher itself links no crypto: the child gets the plan as JSON and the same
 * open files that QEMU gets. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "encode.h"
#include "error.h"
#include "fd.h"
#include "run-measure.h"
#include "run-programs.h"
#include "strutil.h"

#define ANSWER_MAX (1024u * 1024u) /* digests of four inputs and a table: some KiB */
#define ERROR_MAX  (16u * 1024u)
#define TABLE_SIZE 176u /* QEMU target/i386/sev.c, PaddedSevHashTable */

void measure_answer_done(MeasureAnswer *a) {
        a->json = js_unref(a->json);
}

const char *measure_answer_digest(const MeasureAnswer *a) {
        return js_string_value(js_get(a->json, "digest"));
}

int measure_answer_table_fd(const MeasureAnswer *a, char **reterr) {
        const char *text = js_string_value(js_get(js_get(a->json, "kernel-hashes"), "table"));
        _cleanup_free_ uint8_t *table = NULL;
        size_t size;

        if (!text || base64_decode(text, strlen(text), &table, &size) < 0 || size != TABLE_SIZE)
                return error_set(reterr, -EBADMSG, "the measure program gave no table of kernel hashes");
        return memfd_new_sealed("cvmspawn-kernel-hashes", table, size);
}

static int plan_memfd(const LaunchPlan *plan) {
        _cleanup_js_ Json *j = NULL;
        _cleanup_free_ char *text = NULL;
        int r, fd;

        r = launch_plan_to_json(plan, &j);
        if (r < 0)
                return r;
        text = js_text(j, JS_SHORT);
        if (!text)
                return -ENOMEM;
        fd = memfd_new_sealed("cvmspawn-plan", text, strlen(text));
        if (fd < 0)
                return fd;
        return lseek(fd, 0, SEEK_SET) < 0 ? -errno : fd;
}

/* The plan's descriptors, each once. */
static size_t plan_fds(const LaunchPlan *plan, int fds[static 4]) {
        const PlanInput *const inputs[] = { &plan->firmware, &plan->kernel, &plan->initrd, &plan->words };
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(inputs); i++)
                if (inputs[i]->n_parts > 0)
                        fds[n++] = inputs[i]->parts[0].fd;
        return n;
}

static int start(const LaunchPlan *plan, int plan_fd, int out, int err, Process *ret, char **reterr) {
        _cleanup_free_ char *program = NULL, *option = NULL;
        int fds[5], r;
        size_t n;

        r = run_find_program("measure", &program, reterr);
        if (r < 0)
                return r;
        if (asprintf(&option, "--plan-fd=%d", plan_fd) < 0)
                return -ENOMEM;
        n = plan_fds(plan, fds);
        fds[n++] = plan_fd;

        char *const argv[] = { program, option, NULL };
        const ProcessSpec spec = {
                .file = program,
                .argv = argv,
                .stdin_fd = -EBADF,
                .stdout_fd = out,
                .stderr_fd = err,
                .keep_fds = fds,
                .n_keep_fds = n,
                .own_group = true,
        };
        return process_spawn(&spec, ret, reterr);
}

void measure_child_done(MeasureChild *m) {
        process_done(&m->process);
        m->out = fd_close(m->out);
        m->err = fd_close(m->err);
}

int measure_child_start(const LaunchPlan *plan, MeasureChild *ret, char **reterr) {
        _cleanup_(measure_child_done) MeasureChild m = MEASURE_CHILD_NONE;
        _cleanup_close_ int plan_fd = plan_memfd(plan), out_write = -EBADF, err_write = -EBADF;
        int out[2], err[2], r;

        if (plan_fd < 0)
                return error_set(reterr, plan_fd, "cannot write the launch plan: %s", strerror(-plan_fd));
        if (pipe2(out, O_CLOEXEC) < 0)
                return -errno;
        m.out = out[0];
        out_write = out[1];
        if (pipe2(err, O_CLOEXEC) < 0)
                return -errno;
        m.err = err[0];
        err_write = err[1];

        r = start(plan, plan_fd, out_write, err_write, &m.process, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(m, MEASURE_CHILD_NONE);
        return 0;
}

/* Both streams are short and the child writes its error only after its answer, so reading one after the other cannot block
 * it for good: a pipe holds more than either limit needs. */
int measure_child_finish(MeasureChild *m, MeasureAnswer *ret, char **reterr) {
        _cleanup_free_ char *answer = NULL, *sentence = NULL;
        siginfo_t si = {};
        size_t size;
        int r;

        r = fd_read_all(m->out, ANSWER_MAX, &answer, &size);
        if (r < 0)
                return error_set(reterr, r, "cannot read the answer of the measure program: %s",
                                strerror(-r));
        r = fd_read_all(m->err, ERROR_MAX, &sentence, NULL);
        if (r < 0)
                return r;
        r = process_wait(&m->process, UINT64_MAX, &si);
        if (r < 0)
                return r;
        if (si.si_code != CLD_EXITED || si.si_status != 0) {
                sentence[strcspn(sentence, "\n")] = 0;
                const char *text = startswith(sentence, "cvmspawn measure: ") ?: sentence;
                return error_set(reterr, -EBADMSG, "%s",
                                *text ? text : "the measure program failed without a word");
        }
        return js_parse(answer, size, &ret->json, reterr);
}

int run_ask_measure(const LaunchPlan *plan, MeasureAnswer *ret, char **reterr) {
        _cleanup_(measure_child_done) MeasureChild m = MEASURE_CHILD_NONE;
        int r = measure_child_start(plan, &m, reterr);

        return r < 0 ? r : measure_child_finish(&m, ret, reterr);
}
