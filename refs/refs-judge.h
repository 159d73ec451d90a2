/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A bundle as a relying party uses it: what it adds to the policy that a report is judged by, and what is nearest to a report that it does not have. */

#include "refs-bundle.h"
#include "snp-policy.h"

#define REFS_PLATFORM_SMT  (UINT64_C(1) << 0) /* AMD 56860, PLATFORM_INFO */
#define REFS_PLATFORM_TSME (UINT64_C(1) << 1)

/* Adds what the bundle expects of SNP guests and machines to a policy, so that both are met: the higher part of each TCB version, the
 * stricter guest policy, the bits of PLATFORM_INFO. A bundle with floors refuses generations that have none, and where the policy has floors as well,
 * a generation must be in both. -EINVAL with an error message if no report could meet both. */
_warn_unused_result_ int refs_policy_apply(const RefsBundle *b, SnpPolicy *p, char **reterr);
/* "Milan: bootloader 4, ...; SMT on; guest policy 0x30000", for the generation; owned. NULL and 0: the bundle says nothing of it. */
_warn_unused_result_ int refs_policy_text(const RefsBundle *b, SnpGeneration g, char **ret);

/* What is nearest to a digest that is not in the bundle, found by trying single changes of each family: more vCPUs than it covers, features,
 * the monitor's profile, a CPU without a model's name. */
typedef struct RefsNearest {
        const RefsLaunch *launch; /* weak; NULL: no change gives the digest */
        char *text;               /* owned: the row, and the difference; or what was tried */
} RefsNearest;

void refs_nearest_done(RefsNearest *n);
/* signature: the CPU that the report names, or 0. */
_warn_unused_result_ int refs_bundle_nearest(const RefsBundle *b, const uint8_t *digest, size_t size,
                uint32_t signature, RefsNearest *ret);
