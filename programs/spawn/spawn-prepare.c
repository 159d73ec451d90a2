/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a command line to a launch: what the host has, which files are launched and, where it must be known first, their digest. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "compose.h"
#include "error.h"
#include "host-caps.h"
#include "log.h"
#include "progress.h"
#include "resolve.h"
#include "run-id-block.h"
#include "spawn.h"

/* The table of a simulated launch, which QEMU's loader device reads at start. */
static int add_table(SpawnJob *job, char **reterr) {
        int fd;

        if (!job->config.simulate || !job->inputs.plan.sev.kernel_hashes)
                return 0;
        fd = measure_answer_table_fd(&job->answer, reterr);
        if (fd < 0)
                return fd;
        return launch_inputs_keep_fd(&job->inputs, fd, LAUNCH_FD_TABLE);
}

int spawn_prepare(SpawnJob *job, CredentialTransport transport, char **reterr) {
        const ResolveOptions options = { .for_launch = true, .transport = transport, .login = &job->login };
        int r;

        launch_inputs_done(&job->inputs);
        measure_answer_done(&job->answer);
        r = resolve_launch(&job->config, &options, &job->inputs, reterr);
        if (r < 0 || (job->config.print == 0 && !vm_config_measured_first(&job->config)))
                return r;
        r = resolve_fill(&job->config, &job->inputs, /* stop= */ NULL, reterr);
        if (r < 0 || !vm_config_confidential(&job->config))
                return r;
        progress_step("computing the launch digest");
        r = run_ask_measure(&job->inputs.plan, &job->answer, reterr);
        /* To tell the digest, no key is needed. */
        if (r >= 0 && (job->config.print == 0 || job->config.print & PRINT_ARGV))
                r = run_build_id_block(&job->config, &job->answer, &job->inputs, reterr);
        if (r < 0)
                return r;
        return add_table(job, reterr);
}

int spawn_probe(SpawnJob *job, char **reterr) {
        _cleanup_free_ char *notice = NULL, *user_notice = NULL, *lock_notice = NULL;
        int r;

        r = job->config.host_caps ? host_caps_read(job->config.host_caps, &job->caps, reterr)
                                  : host_caps_probe(&job->config, &job->caps);
        if (r < 0)
                return r;
        r = run_choose(&job->config, &job->caps, &job->choices, &notice, reterr);
        /* What no file and no option can change stands first. */
        if (r >= 0 && job->config.print == 0)
                r = compose_check_host(&job->config, &job->caps, &job->choices, reterr);
        if (r >= 0 && job->config.print == 0)
                r = run_check_virtiofsd(&job->config, &job->caps, reterr);
        if (r < 0)
                return r;
        r = run_choose_user(&job->config, job->config.qemu ?: job->caps.qemu, job->choices.kvm, &job->user,
                        &user_notice, reterr);
        if (r >= 0 && job->config.print == 0)
                r = run_choose_memlock(&job->config, &job->user, &lock_notice, reterr);
        if (r < 0)
                return r;
        job->config.other_user = job->user.change;
        if (notice && job->config.print == 0)
                log_notice("%s", notice);
        if (user_notice && job->config.print == 0)
                log_notice("%s", user_notice);
        if (lock_notice)
                log_notice("%s", lock_notice);
        return 0;
}
