/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What follows from the digest: it is shown, and compared with what the user expects, before the guest runs. */

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "error.h"
#include "log.h"
#include "run-id-block.h"
#include "run-lock.h"
#include "spawn.h"
#include "strutil.h"

/* What the user and programs must know before the guest runs. */
static void banner(const SpawnJob *job, const EventSink *events) {
        const char *digest = job->answer.json ? measure_answer_digest(&job->answer) : NULL;
        const char *mode = coco_mode_to_string(job->config.coco);
        Json *data = NULL;

        bool firmware_only = !job->config.linux_path;

        if (js_build(&data, "{s:s, s:s?, s:b, s:s, s:b, s:s?}", "mode", mode, "digest", digest,
                            "predictable", vm_config_predictable(&job->config), "covers",
                            firmware_only ? "firmware" : "firmware, kernel, initrd and command line",
                            "simulated", job->config.simulate, "warning",
                            job->config.simulate ? "simulated: nothing here is confidential" : NULL) >= 0)
                event_emit(events, "digest", data);
        if (job->config.simulate)
                log_notice("SIMULATED %s: %s nothing is encrypted or confidential", mode,
                                job->inputs.plan.sev.kernel_hashes
                                                ? "the firmware checks the kernel hashes, but"
                                                : "the firmware boots what it finds, and");
        if (digest)
                log_notice("%s launch digest%s%s%s: %s", mode,
                                vm_config_predictable(&job->config) ? "" : ", unpredictable,",
                                firmware_only ? " of the firmware only" : "",
                                job->config.simulate ? " predicted for hardware" : "", digest);
}

/* 0 if --expect= is absent or names this launch's digest. */
static int check_expected(const SpawnJob *job, char **reterr) {
        const char *digest = job->answer.json ? measure_answer_digest(&job->answer) : NULL;

        if (!job->config.expect || (digest && strcasecmp(digest, job->config.expect) == 0))
                return 0;
        return error_set(reterr, -EBADE,
                        "--expect: launch digest mismatch: got %s, expected %s; guest not started (run 'cvmspawn measure --expect=...' to find out why)",
                        digest ?: "unknown", job->config.expect);
}

/* The digest is known and the guest has not run: is it the one that is wanted? */
int spawn_answered(const SpawnJob *job, const EventSink *events, char **reterr) {
        LockOutcome outcome;
        int r;

        if (!job->answer.json)
                return 0;
        r = check_expected(job, reterr);
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
