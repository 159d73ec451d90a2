/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-limits.h"

/* Longer than each wait that has its own limit (QEMU's answers, the owner agent's), and than what a busy host needs for one step. */
const uint64_t run_set_up_usec = 330 * UINT64_C(1000000);
