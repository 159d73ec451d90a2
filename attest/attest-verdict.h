/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Errors are not verdicts: a check returns 0 or -errno (could it be decided?) and, apart from that, one of these. The
 * zero value says that nothing was verified, so a forgotten assignment fails closed. */

#include "macro.h"

typedef enum Verdict {
        VERDICT_UNVERIFIED, /* nothing was decided */
        VERDICT_AUTHENTIC,
        VERDICT_VERIFIED, /* authentic, and a policy was met */
        VERDICT_NOT_AUTHENTIC,
        VERDICT_POLICY_NOT_MET,         /* authentic, but not what was asked for */
        VERDICT_COLLATERAL_UNAVAILABLE, /* a certificate is missing that could decide it */
        _VERDICT_MAX,
} Verdict;

const char *verdict_to_string(
                Verdict v); /* "unverified", "authentic", "verified", "not-authentic", "policy-not-met", ... */
/* The exit status of verifying programs: 0, 1 (unverified), 2, 3, 4. */
int verdict_exit_status(Verdict v);
