/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A verification as text for people and as JSON for programs. */

#include "json.h"
#include "snp-advisory.h"
#include "snp-policy.h"
#include "snp-verify.h"

/* The advisories about the processor generation of an authentic report that its policy does not acknowledge, one after another: *i begins as 0; NULL: no
 * more. */
const SnpAdvisory *snp_result_advisory(const SnpResult *r, const SnpPolicy *p, size_t *i);

/* What was done and found, line by line; the last line is the verdict, and "verified" stands there only when everything was done. Owned. */
_warn_unused_result_ int snp_result_text(
                const SnpResult *r, const SnpPolicy *p, const Violations *v, char **ret);
/* {"verdict","step","reason","root","leaf","intermediate","revocation","violations","not-checked","report"} */
_warn_unused_result_ int snp_result_json(
                const SnpResult *r, const SnpPolicy *p, const Violations *v, Json **ret);
