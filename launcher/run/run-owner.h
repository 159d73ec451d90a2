/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The host's part of the attestation by the guest owner, as hooks of run_vm(). The owner agent decides what is asked and who answers. */

#include "launch.h"
#include "run-confine.h"
#include "run-measure.h"
#include "run-owner-agent.h"

/* The owner program's options for this launch. */
_warn_unused_result_ int run_owner_options(const VmConfig *config, char ***ret);

/* before_spawn: asks QEMU for this host's platform, the owner for session and certificate, and adds these to *in. The policy becomes the
 * owner's, where none was asked for. */
_warn_unused_result_ int run_owner_session(OwnerAgent *c, RunHook *h, const VmConfig *config,
                const char *qemu, const QemuUser *user, LaunchInputs *in, char **reterr);

/* before_cont: measurement to the owner, its packet to QEMU. *ret_injected: there was one. */
_warn_unused_result_ int run_owner_validate(OwnerAgent *c, RunHook *h, const LaunchInputs *in,
                const MeasureAnswer *answer, bool *ret_injected, char **reterr);
