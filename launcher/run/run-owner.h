/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The guest owner's dance, as hooks of run_vm(): the host's part of it. What is asked and who answers is the attestor program's affair. */

#include "launch.h"
#include "run-attestor.h"
#include "run-confine.h"
#include "run-measure.h"

/* The attestor program's options for this launch. */
_warn_unused_result_ int run_owner_options(const VmConfig *config, char ***ret);

/* before_spawn: asks QEMU for this host's platform, the attestor for session and certificate, and adds these to *in. The policy becomes the
 * owner's, where none was asked for. */
_warn_unused_result_ int run_owner_session(AttestorChild *c, RunHook *h, const VmConfig *config,
                const char *qemu, const QemuUser *user, LaunchInputs *in, char **reterr);

/* before_cont: measurement to the attestor, its packet to QEMU. *ret_injected: there was one. */
_warn_unused_result_ int run_owner_validate(AttestorChild *c, RunHook *h, const LaunchInputs *in,
                const MeasureAnswer *answer, bool *ret_injected, char **reterr);
