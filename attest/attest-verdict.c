/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attest-verdict.h"

static const struct {
        const char *name;
        int status;
} verdicts[] = {
        [VERDICT_UNVERIFIED] = { "unverified", 1 },
        [VERDICT_AUTHENTIC] = { "authentic", 0 },
        [VERDICT_VERIFIED] = { "verified", 0 },
        [VERDICT_NOT_AUTHENTIC] = { "not-authentic", 2 },
        [VERDICT_POLICY_NOT_MET] = { "policy-not-met", 3 },
        [VERDICT_COLLATERAL_UNAVAILABLE] = { "collateral-unavailable", 4 },
};
static_assert(ELEMENTSOF(verdicts) == _VERDICT_MAX, "every verdict has a row");

const char *verdict_to_string(Verdict v) {
        return (unsigned) v < _VERDICT_MAX ? verdicts[v].name : verdicts[VERDICT_UNVERIFIED].name;
}

int verdict_exit_status(Verdict v) {
        return (unsigned) v < _VERDICT_MAX ? verdicts[v].status : verdicts[VERDICT_UNVERIFIED].status;
}
