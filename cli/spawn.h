/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pieces of the spawn program. */

#include "run.h"

#define EXIT_REFUSED 125 /* any refusal or failure of launcher, host or QEMU */

typedef struct SpawnJob {
        VmConfig config;
        HostCaps caps;
        LaunchChoices choices;
        QemuUser user;
        LaunchInputs inputs;
        MeasureAnswer answer; /* empty where nothing is measured */
} SpawnJob;

void spawn_job_done(SpawnJob *job);
/* Resolves and, where the launch has a digest, asks measure. transport: AUTO, or what a second attempt uses. */
_warn_unused_result_ int spawn_prepare(SpawnJob *job, CredentialTransport transport, char **reterr);

/* --print=: 0, -EBADE if --expect= names another digest, or -errno with a sentence. */
_warn_unused_result_ int spawn_print(const SpawnJob *job, char **reterr);
/* --firmware=list and describe. */
_warn_unused_result_ int spawn_firmware(const VmConfig *config, char **reterr);
