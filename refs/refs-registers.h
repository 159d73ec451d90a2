/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The registers of a TD launch beside its digest (MRTD): rtmr0 to rtmr2. Together with the digest they are one row. */

#include "refs-bundle.h"
#include "td-registers.h"

#define REFS_REGISTERS 3u
extern const char *const refs_register_names[REFS_REGISTERS];

/* Lower-case hex, weak; NULL: the bundle does not have it. */
const char *refs_register(const RefsLaunch *l, size_t i);
/* An order; 0: the same registers are known, with the same values. */
int refs_registers_compare(const RefsLaunch *a, const RefsLaunch *b);
/* [{"register", "old", "new"}] of those that differ; NULL for old or new: the launch is not there. */
_warn_unused_result_ int refs_registers_json(const RefsLaunch *old, const RefsLaunch *new, Json **ret);

/* What a launch says of a TD's registers: false if it is not the launch of a TD. The bundle was read, so that its digits are digits. */
bool refs_launch_registers(const RefsLaunch *l, TdRegisters *ret);
