/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Measurements as JSON members that several outputs share. */

#include "json.h"
#include "measure-input.h"

/* {"firmware":{"sha256","size","parts":[{"label","size","sha256"}]},"kernel",...}: inputs that were not given are left out. */
_warn_unused_result_ int measure_json_parts(
                const InputDigest *firmware, const PlanDigests *digests, Json **ret);
