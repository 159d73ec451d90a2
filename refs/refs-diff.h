/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Two bundles compared: rows that came, went and changed, and the inputs that did it.
 *
 * Launches are paired first by equal inputs, then by name, then by the most inputs in common; rows by CPU and number of vCPUs. A row of the old
 * bundle is in the new one if its digest is: as a row of any launch, or as a member of the family of the launch that it is paired with. */

#include "refs-bundle.h"

/* {"launches": [{"technology", "name", "old", "new", "inputs": [{"input", "old", "new"}], "changed", "came", "went": [{"cpu-model", "vcpu-sig", "vcpus", "old",
 * "new"}]}], "expectations": [{"what", "old", "new", "lowered"}], "rows": {"same", "changed", "came", "went"}, "complete"}. Launches without a difference are
 * left out. *ret_complete: every row of the old bundle is in the new one. */
_warn_unused_result_ int refs_diff(
                const RefsBundle *old, const RefsBundle *new, Json **ret, bool *ret_complete);
