/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The ID block of an SNP launch: AMD 56860, "ID block". The processor refuses a launch whose digest or policy differs (errors 11 and 7), long
 * after start-up and without saying which; so it is compared before. */

#include "launch.h"
#include "run-measure.h"

/* 0, also where there is no ID block; -EBADE with an error message. */
_warn_unused_result_ int run_check_id_block(
                const LaunchInputs *in, const MeasureAnswer *answer, char **reterr);
/* --id-key=: has the id-block program build and sign the pair for this very launch, which goes to `in`. */
_warn_unused_result_ int run_build_id_block(
                const VmConfig *config, const MeasureAnswer *answer, LaunchInputs *in, char **reterr);
