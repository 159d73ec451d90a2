/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For refs-diff.c: what two bundles expect of guests and machines. */

#include "refs-bundle.h"

/* [{"what", "old", "new", "lowered"}]: a list of what differs. lowered: the new bundle accepts what the old one refused. */
_warn_unused_result_ int refs_diff_expectations(const RefsBundle *old, const RefsBundle *new, Json **ret);
