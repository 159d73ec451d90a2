/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pieces of the spawn program. */

#include "extract-config.h"
#include "run-output.h"
#include "run.h"

#define EXIT_REFUSED 125 /* any refusal or failure of launcher, host or QEMU */

typedef struct SpawnJob {
        VmConfig config;
        ExtractChild image; /* where kernel and initrd of the image are */
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
/* Kernel, initrd and command line of the image, where they are wanted; notices are logged. */
_warn_unused_result_ int spawn_take_image(SpawnJob *job, char **reterr);
/* How credentials travel, which a second attempt may change. */
typedef enum SpawnWay { SPAWN_AS_ASKED, SPAWN_SMBIOS, SPAWN_ADAPTER } SpawnWay;
/* Resolves and, where the launch has a digest, asks measure. */
_warn_unused_result_ int spawn_prepare(SpawnJob *job, SpawnWay way, char **reterr);

/* May credentials travel as SMBIOS strings if the initrd cannot import them? The units of --run= need the same systemd that
 * imports from the initrd. */
bool spawn_may_use_smbios(const VmConfig *config);

/* Ends this process when --timeout= is over, or when nothing happens for too long, until run_vm() takes over. */
_warn_unused_result_ int spawn_guard(const SpawnJob *job, const EventSink *events, char **reterr);
/* A line about progress on a terminal, where somebody watches. */
void spawn_show_progress(const SpawnJob *job);

/* --coco=auto: the technology of this host that has a firmware here, from here on as if it had been given. */
_warn_unused_result_ int spawn_choose_coco(SpawnJob *job, char **reterr);

/* 0 if --expect= is absent or all that it names is predicted so; -EBADE with an error message. */
/* Before anything is shown: a register that --expect= names and that is not predicted is an error. */
_warn_unused_result_ int spawn_check_predicted(const SpawnJob *job, char **reterr);
_warn_unused_result_ int spawn_check_expected(const SpawnJob *job, char **reterr);
/* The digest is known and the guest has not run: is it the one that is wanted? */
_warn_unused_result_ int spawn_answered(const SpawnJob *job, const EventSink *events, char **reterr);

/* --print=: 0, -EBADE if --expect= names a different digest, or -errno with the error message that a launch would have. */
_warn_unused_result_ int spawn_print(SpawnJob *job, char **reterr);
/* --firmware=list and describe. */
_warn_unused_result_ int spawn_firmware(const VmConfig *config, char **reterr);
/* After the description of the options was printed: the exit status, with a message if it was not written. */
int spawn_dumped(void);
