/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* --lock=FILE: what a launch consisted of, as a file to commit beside its inputs. The first launch writes it, later ones must have the
 * same digest. */

#include "launch.h"
#include "run-measure.h"

typedef enum LockOutcome {
        LOCK_SAME,
        LOCK_WRITTEN, /* there was no such file */
} LockOutcome;

/* Compares with the file, or writes it if `write` and it does not exist. -EBADE with an error message that says which input changed if the
 * digest differs; -EBADMSG if the file is not a lock file. */
_warn_unused_result_ int run_lock(const char *path, const LaunchPlan *plan, const MeasureAnswer *answer,
                bool write, LockOutcome *ret, char **reterr);
