/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a hook of run_vm() may use of the launch that called it. Signals, the time limit and the end of QEMU go on being heard in all
 * waits, which then end with -ECANCELED. */

#include "loop.h"
#include "macro.h"

typedef struct Session RunHook;
typedef struct QmpClient QmpClient;

Loop *run_hook_loop(RunHook *h);
/* QEMU's monitor; NULL before QEMU was started. */
QmpClient *run_hook_qmp(RunHook *h);
/* Turns the loop until fd can be read (or was closed): 0, -ECANCELED, -ETIMEDOUT. */
_warn_unused_result_ int run_hook_wait(RunHook *h, int fd, uint64_t timeout_usec);
/* One sentence for the user and for --status-fd=, about a wait. */
void run_hook_tell(RunHook *h, const char *event, const char *sentence);
