/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A confidential launch without a kernel: only SEV and SEV-ES, only with a boot loader inside the measured firmware. */

#include "resolve.h"

/* Looks into the firmware that was resolved. A launch is refused if there is no loader, a question is answered with a notice. */
_warn_unused_result_ int resolve_loader(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr);
