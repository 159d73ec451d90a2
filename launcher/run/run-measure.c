/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Asks the measure program about a LaunchPlan. The launcher itself links no crypto: the child gets the plan as JSON and the same
 * open files that QEMU gets. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "encode.h"
#include "error.h"
#include "fd.h"
#include "run-measure.h"
#include "strutil.h"

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
                return error_set(reterr, -EBADMSG, "the measure program returned no table of kernel hashes");
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
        const PlanInput *const inputs[] = { &plan->firmware, &plan->kernel, &plan->initrd, &plan->cmdline };
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(inputs); i++)
                if (inputs[i]->n_parts > 0)
                        fds[n++] = inputs[i]->parts[0].fd;
        return n;
}

int measure_child_start(const LaunchPlan *plan, ProgramChild *ret, char **reterr) {
        _cleanup_close_ int plan_fd = plan_memfd(plan);
        _cleanup_free_ char *option = NULL;
        int fds[5];
        size_t n;

        if (plan_fd < 0)
                return error_set(reterr, plan_fd, "cannot write the launch plan: %s", strerror(-plan_fd));
        if (asprintf(&option, "--plan-fd=%d", plan_fd) < 0) {
                option = NULL;
                return -ENOMEM;
        }
        n = plan_fds(plan, fds);
        fds[n++] = plan_fd;
        return program_child_start("measure", (char *const[]) { option, NULL }, fds, n, ret, reterr);
}

int run_ask_measure(const LaunchPlan *plan, MeasureAnswer *ret, char **reterr) {
        _cleanup_(program_child_done) ProgramChild c = PROGRAM_CHILD_NONE;
        int r = measure_child_start(plan, &c, reterr);

        return r < 0 ? r : program_child_finish(&c, &ret->json, reterr);
}
