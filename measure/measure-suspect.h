/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files that are given by mistake: swapped kernel and initrd, disk images, compressed kernels. Their digest can be computed, but no
 * QEMU launches them. */

#include "macro.h"
#include "plan.h"

typedef enum SuspectInput {
        SUSPECT_KERNEL,
        SUSPECT_INITRD,
        _SUSPECT_INPUT_MAX,
} SuspectInput;

/* 1 with an error message that names the file (owned), or 0 where nothing is suspicious: the input is absent, or what it should be. */
_warn_unused_result_ int suspect_input(SuspectInput what, const PlanInput *in, char **ret);
