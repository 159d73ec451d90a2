/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From a command line to a launch: what the host has, which files are launched and, where it must be known first, their digest. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "compose.h"
#include "error.h"
#include "host-caps.h"
#include "host-passed.h"
#include "log.h"
#include "progress.h"
#include "resolve.h"
#include "run-id-block.h"
#include "run-programs.h"
#include "run-tables.h"
#include "spawn.h"
#include "strutil.h"

bool spawn_may_use_smbios(const VmConfig *config) {
        return config->credential_transport == TRANSPORT_AUTO && !vm_config_confidential(config) &&
                        !config->run;
}

/* A simulated TD's reports name the digest, and a plug-in of QEMU makes them. */
static int add_module(SpawnJob *job, char **reterr) {
        const char *digest = measure_answer_digest(&job->answer);
        int fd;

        job->inputs.digest = digest ? strdup(digest) : NULL;
        if (!job->inputs.digest)
                return -ENOMEM;
        if (job->config.print != 0)
                return 0;
        fd = run_simulation_fd("td-module.so", reterr);
        return fd < 0 ? fd : launch_inputs_keep_fd(&job->inputs, fd, LAUNCH_FD_TD_MODULE);
}

/* The table of a simulated launch, which QEMU's loader device reads at start. */
static int add_simulation(SpawnJob *job, char **reterr) {
        int fd;

        if (job->config.simulate && coco_of(job->config.coco)->emulated)
                return add_module(job, reterr);
        if (!job->config.simulate || !job->inputs.plan.sev.kernel_hashes)
                return 0;
        fd = measure_answer_table_fd(&job->answer, reterr);
        if (fd < 0)
                return fd;
        return launch_inputs_keep_fd(&job->inputs, fd, LAUNCH_FD_TABLE);
}

/* --fw-cfg=auto: the plan names the folder with them. */
static int read_tables(SpawnJob *job, char **reterr) {
        const RunRequest request = { .config = &job->config,
                .caps = &job->caps,
                .choices = &job->choices,
                .inputs = &job->inputs,
                .user = &job->user };
        char **folder = &job->inputs.plan.tdx.fw_cfg, *found;
        int r;

        if (!vm_config_reads_tables(&job->config))
                return 0;
        progress_step("reading the tables of QEMU");
        r = run_tables(&request, &found, reterr);
        if (r < 0)
                return r;
        free(*folder);
        *folder = found;
        return 0;
}

int spawn_prepare(SpawnJob *job, SpawnWay way, char **reterr) {
        const bool first = job->config.print != 0 || vm_config_measured_first(&job->config) ||
                        vm_config_attested(&job->config);
        ResolveOptions options = {
                .for_launch = true,
                .transport = way == SPAWN_SMBIOS ? TRANSPORT_SMBIOS : TRANSPORT_AUTO,
                .adapter = way == SPAWN_ADAPTER,
                .login = &job->login,
        };
        int r;

        launch_inputs_done(&job->inputs);
        measure_answer_done(&job->answer);
        r = resolve_launch(&job->config, &options, &job->inputs, reterr);
        if (r < 0 || !first)
                return r;
        r = resolve_fill(&job->config, &job->inputs, /* stop= */ NULL, reterr);
        /* Elsewhere a child looks while QEMU starts. */
        if (r >= 0)
                r = resolve_adapt(&job->config, &options, &job->inputs, reterr);
        if (r < 0 || !vm_config_confidential(&job->config) ||
                        (job->config.print == 0 && !vm_config_measured_first(&job->config)))
                return r;
        r = read_tables(job, reterr);
        if (r < 0)
                return r;
        progress_step("computing the launch digest");
        r = run_ask_measure(&job->inputs.plan, &job->answer, reterr);
        /* To tell the digest, no key is needed. */
        if (r >= 0 && (job->config.print == 0 || job->config.print & PRINT_ARGV))
                r = run_build_id_block(&job->config, &job->answer, &job->inputs, reterr);
        if (r < 0)
                return r;
        return add_simulation(job, reterr);
}

int spawn_take_image(SpawnJob *job, char **reterr) {
        _cleanup_strv_free_ char **notices = NULL;
        int r = extract_into_config(&job->config, &job->image, &notices, reterr);

        STRV_FOREACH(n, notices)
                log_notice("%s", *n);
        return r;
}

/* What the service manager has opened for us, and what of it is not for us. */
static int take_passed(SpawnJob *job) {
        _cleanup_strv_free_ char **unknown = NULL;
        int r = host_take_passed(&job->caps, &unknown);

        STRV_FOREACH(name, unknown)
                log_notice("the service manager passed a file '%s', ignoring it: known are kvm and vhost-vsock, as character devices",
                                *name);
        return r;
}

int spawn_probe(SpawnJob *job, char **reterr) {
        _cleanup_free_ char *notice = NULL, *user_notice = NULL, *lock_notice = NULL;
        int r;

        r = job->config.host_caps ? 0 : take_passed(job);
        if (r < 0)
                return r;
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
