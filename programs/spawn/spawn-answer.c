/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What follows from the digest: it is shown, and compared with what the user expects, before the guest runs. */

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "config-tdx.h"
#include "error.h"
#include "log.h"
#include "run-id-block.h"
#include "run-lock.h"
#include "spawn.h"
#include "strutil.h"

/* The registers that were predicted beside the launch digest. */
static void registers(const SpawnJob *job) {
        const Json *values = js_get(job->answer.json, "registers");

        for (void *i = values ? js_iter(values) : NULL; i; i = js_iter_next(values, i))
                if (!streq(js_iter_key(i), "mrtd"))
                        log_notice("predicted %s: %s", js_iter_key(i), js_string_value(js_iter_value(i)));
}

/* What the user and programs must know before the guest runs. */
static void banner(const SpawnJob *job, const EventSink *events) {
        const char *digest = job->answer.json ? measure_answer_digest(&job->answer) : NULL;
        const char *mode = coco_mode_to_string(job->config.coco);
        Json *data = NULL;

        /* With an event log what boots is in registers that the firmware extends. */
        const bool logged = coco_of(job->config.coco)->event_log;
        bool firmware_only = !job->config.linux_path || logged;

        if (js_build(&data, "{s:s, s:s?, s:b, s:s, s:b, s:s?, s:O?, s:O?}", "mode", mode, "digest", digest,
                            "predictable", vm_config_predictable(&job->config), "covers",
                            firmware_only ? "firmware" : "firmware, kernel, initrd and command line",
                            "simulated", job->config.simulate, "warning",
                            job->config.simulate ? "simulated: nothing here is confidential" : NULL,
                            "registers", js_get(job->answer.json, "registers"), "host-credentials",
                            js_get(job->answer.json, "host-credentials")) >= 0)
                event_emit(events, "digest", data);
        if (job->config.simulate)
                log_notice("SIMULATED %s: %s nothing is encrypted or confidential", mode,
                                job->inputs.plan.sev.kernel_hashes
                                                ? "the firmware checks the kernel hashes, but"
                                                : "the firmware boots what it finds, and");
        if (digest)
                log_notice("%s launch digest%s%s%s: %s", mode,
                                vm_config_predictable(&job->config) ? "" : ", unpredictable,",
                                logged                          ? " (MRTD, of the firmware only)"
                                                : firmware_only ? " of the firmware only"
                                                                : "",
                                job->config.simulate ? " predicted for hardware" : "", digest);
        registers(job);
}

static bool is_digest(const Expectation *e) {
        return !*e->name || streq(e->name, "mrtd");
}

static const char *got_of(const SpawnJob *job, const Expectation *e) {
        return is_digest(e) ? measure_answer_digest(&job->answer)
                            : js_string_value(js_get(js_get(job->answer.json, "registers"), e->name));
}

static int check_expectation(const SpawnJob *job, const Expectation *e, char **reterr) {
        const char *got = got_of(job, e);

        if (got && strlen(got) == e->size && strncasecmp(got, e->digest, e->size) == 0)
                return 0;
        if (!is_digest(e))
                return error_set(reterr, -EBADE, "--expect: %s mismatch: got %s, expected %.*s", e->name,
                                got ?: "unknown", (int) e->size, e->digest);
        return error_set(reterr, -EBADE, "--expect: launch digest mismatch: got %s, expected %.*s%s",
                        got ?: "unknown", (int) e->size, e->digest,
                        job->config.print != 0
                                        ? ""
                                        : "; guest not started (run 'cvmspawn measure --expect=...' to find out why)");
}

int spawn_check_predicted(const SpawnJob *job, char **reterr) {
        const char *p = job->config.expect;
        Expectation e;

        while (vm_config_expect_next(&p, &e))
                if (!got_of(job, &e) && !is_digest(&e))
                        return error_set(reterr, -EINVAL, "--expect: %s is not predicted: add %s", e.name,
                                        streq(e.name, "rtmr0") ? "--edk2= and --fw-cfg=" : "--edk2=");
        return 0;
}

int spawn_check_expected(const SpawnJob *job, char **reterr) {
        const char *p = job->config.expect;
        Expectation e;
        int r = spawn_check_predicted(job, reterr);

        while (r >= 0 && vm_config_expect_next(&p, &e))
                r = check_expectation(job, &e, reterr);
        return r;
}

/* The digest is known and the guest has not run: is it the one that is wanted? */
int spawn_answered(const SpawnJob *job, const EventSink *events, char **reterr) {
        LockOutcome outcome;
        int r;

        if (!job->answer.json)
                return 0;
        r = spawn_check_expected(job, reterr);
        if (r >= 0)
                r = run_check_id_block(&job->inputs, &job->answer, reterr);
        if (r >= 0 && job->config.lock) {
                r = run_lock(job->config.lock, &job->inputs.plan, &job->answer, /* write= */ true, &outcome,
                                reterr);
                if (r >= 0 && outcome == LOCK_WRITTEN)
                        log_notice("'%s' written: commit it; later launches must have this digest",
                                        job->config.lock);
        }
        if (r < 0)
                return r;
        banner(job, events);
        return 0;
}
