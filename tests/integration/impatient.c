/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Instead of launcher/run/run-limits.c, for a launcher whose patience a test can wait for. */

#include "run-limits.h"

const uint64_t run_set_up_usec = 6 * UINT64_C(1000000);
