/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What /proc says about a traced task: proc(5). */

#include <limits.h>
#include <sys/types.h>

#include "anomaly-table.h"

/* The process that this thread belongs to, or 0. */
pid_t task_process(pid_t tid);
/* Where its program begins, behind the dynamic loader, or 0: getauxval(3), AT_ENTRY. */
unsigned long task_entry_point(pid_t tid);
/* What the first argument of this call is; `target` names it, or is "-". */
FdKind descriptor_kind(const Call *call, pid_t tid, unsigned long fd, char target[static PATH_MAX]);
