/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Errors are not verdicts: a check returns 0 or -errno (could it be decided?) and, apart from that, one of these. The
 * zero value says that nothing was verified, so a forgotten assignment fails closed. */

#include <stdbool.h>
#include <stddef.h>

#include "json.h"
#include "macro.h"
#include "strutil.h"

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

/* What a policy asks for and evidence is not. */
typedef struct Violation {
        const char *rule; /* a literal: the member's name */
        char *expected, *got;
} Violation;

typedef struct Violations {
        Violation *list; /* owned */
        size_t n;
} Violations;

void violations_done(Violations *v);
/* Takes both texts, also on failure; a NULL one is -ENOMEM. */
_warn_unused_result_ int violation_add(Violations *v, const char *rule, char *expected, char *got);
void violations_put(Text *t, const Violations *v);
/* Adds the member "violations". */
_warn_unused_result_ int violations_json(Json *o, const Violations *v);

/* The line of a verdict; all pointers are weak. */
typedef struct VerdictText {
        Verdict verdict;
        const char *vendor; /* whose root counts: "AMD" */
        bool insecure_root; /* it ended at another one */
        const char *step;   /* of the check that decided */
        const char *sentence;
        const Violations *violations;
} VerdictText;
void verdict_put(Text *t, const VerdictText *v);
