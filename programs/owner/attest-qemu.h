/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `cvmspawn attest-qemu`: attestation by the guest owner for a QEMU that somebody else started with -S.
 *
 * attest-qemu.c           options, results
 * attest-qemu-prepare.c   before QEMU is started: platform facts in, files for session-file and dh-cert-file out
 * attest-qemu-monitor.c   the paused QEMU's monitor: asked, given its packet, continued or ended */

#include "loop.h"
#include "owner-args.h"
#include "qmp-client.h"
#include "secret.h"
#include "verb.h"

typedef struct QemuArgs {
        OwnerArgs owner;
        VerbCommon common;
        char *qmp, *qemu, *session_dir, *launch_id, *on_refusal, *coco;
        uint64_t policy;
        bool policy_set;
        char **expect;
} QemuArgs;

/* The owner's answer, and what became of it. */
typedef struct QemuResult {
        OwnerOutcome outcome;
        char *launch_id; /* owned; NULL: none */
        uint32_t policy;
        bool secrets, running, ended;
} QemuResult;

void qemu_result_done(QemuResult *r);

/* A session for this host: in --owner-dir=, or from the service in --session-dir=. */
_warn_unused_result_ int qemu_prepare(const QemuArgs *a, Owner *owner, QemuResult *ret, char **reterr);
/* -ESTALE: the guest runs already. */
_warn_unused_result_ int qemu_attest(const QemuArgs *a, Owner *owner, QemuResult *ret, char **reterr);

/* Connects to --qmp=. */
_warn_unused_result_ int qemu_connect(const char *path, Loop *loop, QmpClient **ret, char **reterr);
/* NAME_launch-id in --session-dir=; owned, NULL: out of memory. */
char *qemu_launch_id_path(const QemuArgs *a);
