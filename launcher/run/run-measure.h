/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The measure program as a child that works on the LaunchPlan while QEMU initialises. */

#include "launch.h"
#include "run-programs.h"

typedef struct MeasureAnswer {
        Json *json; /* owned; the whole answer */
} MeasureAnswer;

void measure_answer_done(MeasureAnswer *a);
const char *measure_answer_digest(const MeasureAnswer *a); /* hex, borrowed; NULL: none, or no answer yet */
/* The 176-byte table of kernel hashes as a sealed memfd. */
_warn_unused_result_ int measure_answer_table_fd(const MeasureAnswer *a, char **reterr);

/* The descriptors of the plan must be open. The answer to program_child_finish() is a MeasureAnswer's. */
_warn_unused_result_ int measure_child_start(const LaunchPlan *plan, ProgramChild *ret, char **reterr);

/* Both in one. */
_warn_unused_result_ int run_ask_measure(const LaunchPlan *plan, MeasureAnswer *ret, char **reterr);
