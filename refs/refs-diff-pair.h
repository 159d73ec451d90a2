/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For refs-diff.c: which launch of one bundle is which of the other. */

#include "refs-bundle.h"

typedef struct RefsPairs {
        /* owned, by the launch's index: its pair's number; launches of both bundles with the same number are one pair */
        size_t *old, *new;
        size_t n; /* pairs, those with one launch included */
} RefsPairs;

void refs_pairs_done(RefsPairs *p);
_warn_unused_result_ int refs_pair(const RefsBundle *old, const RefsBundle *new, RefsPairs *ret);

/* What a launch depends on, in the order of REFS_INPUTS: the SHA-256 of an input, the profile or the features; NULL where it has none. features: room for
 * a number. */
#define REFS_INPUTS 6u
extern const char *const refs_input_names[REFS_INPUTS];
void refs_launch_inputs(const RefsLaunch *l, char features[static 32], const char *ret[static REFS_INPUTS]);
