/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The answer to a launcher that asks as a child's parent: from a LaunchPlan to one JSON object.
 *
 * {"parts":{"firmware"|"kernel"|"initrd"|"cmdline":{"sha256","size","parts":[{"label","size","sha256"}]}},
 *  "kernel-hashes":{"table":base64 of 176 bytes,"gpa","area-size"}, "digest":hex|null, "digest-algorithm":"sha256"|"sha384"|null,
 *  "warnings":[...]}
 */

#include "json.h"
#include "plan.h"

_warn_unused_result_ int measure_plan(const LaunchPlan *plan, Json **ret, char **reterr);
