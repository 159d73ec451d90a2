/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pieces of the spawn program. */

#include "run-output.h"
#include "run.h"

#define EXIT_REFUSED 125 /* any refusal or failure of launcher, host or QEMU */

typedef struct SpawnJob {
        VmConfig config;
        HostCaps caps;
        LaunchChoices choices;
        QemuUser user;
        LaunchLogin login; /* borrowed from the launch */
        LaunchInputs inputs;
        MeasureAnswer answer; /* empty where nothing is measured */
        Output log;           /* standard error */
        uint64_t deadline;    /* when --timeout= is over; 0: never */
        RunTiming timing;
} SpawnJob;

void spawn_job_done(SpawnJob *job);
/* Host, QEMU, its user, and what was decided about them; notices are logged. */
_warn_unused_result_ int spawn_probe(SpawnJob *job, char **reterr);
/* Resolves and, where the launch has a digest, asks measure. transport: AUTO, or what a second attempt uses. */
_warn_unused_result_ int spawn_prepare(SpawnJob *job, CredentialTransport transport, char **reterr);

/* Ends this process when --timeout= is over, or when nothing happens for too long, until run_vm() takes over. */
_warn_unused_result_ int spawn_guard(const SpawnJob *job, const EventSink *events, char **reterr);

/* The digest is known and the guest has not run: is it the one that is wanted? */
_warn_unused_result_ int spawn_answered(const SpawnJob *job, const EventSink *events, char **reterr);

/* --print=: 0, -EBADE if --expect= names a different digest, or -errno with an error message. */
_warn_unused_result_ int spawn_print(const SpawnJob *job, char **reterr);
/* --firmware=list and describe. */
_warn_unused_result_ int spawn_firmware(const VmConfig *config, char **reterr);
