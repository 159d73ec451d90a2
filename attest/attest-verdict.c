/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attest-verdict.h"

#include <errno.h>
#include <stdlib.h>

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

void violations_done(Violations *v) {
        FOREACH_ARRAY(x, v->list, v->n) {
                free(x->expected);
                free(x->got);
        }
        free(v->list);
        *v = (Violations) {};
}

int violation_add(Violations *v, const char *rule, char *expected, char *got) {
        Violation *list = expected && got ? realloc(v->list, (v->n + 1) * sizeof(Violation)) : NULL;

        if (!list) {
                free(expected);
                free(got);
                return -ENOMEM;
        }
        v->list = list;
        v->list[v->n++] = (Violation) { rule, expected, got };
        return 0;
}

void violations_put(Text *t, const Violations *v) {
        FOREACH_ARRAY(x, v->list, v->n)
                text_putf(t, "  violation: %s: expected %s, got %s\n", x->rule, x->expected, x->got);
}

int violations_json(Json *o, const Violations *v) {
        _cleanup_js_ Json *a = js_array();
        int r = a ? 0 : -ENOMEM;

        FOREACH_ARRAY(x, v->list, v->n) {
                Json *j = NULL;

                if (r >= 0)
                        r = js_build(&j, "{s:s, s:s, s:s}", "rule", x->rule, "expected", x->expected, "got",
                                        x->got);
                if (r >= 0)
                        r = js_append(a, j);
        }
        return r < 0 ? r : js_set(o, "violations", TAKE_PTR(a));
}

void verdict_put(Text *t, const VerdictText *v) {
        switch (v->verdict) {
        case VERDICT_VERIFIED:
                if (v->insecure_root)
                        text_putf(t, "verified against a root that is not %s's\n", v->vendor);
                else
                        text_put(t, "verified\n");
                break;
        case VERDICT_NOT_AUTHENTIC:
                text_putf(t, "not authentic (%s): %s\n", v->step, v->sentence ?: "?");
                break;
        case VERDICT_COLLATERAL_UNAVAILABLE:
                text_putf(t, "collateral unavailable (%s): %s\n", v->step, v->sentence ?: "?");
                break;
        case VERDICT_POLICY_NOT_MET:
                text_putf(t, "authentic, but the policy is not met: %zu violation%s\n", v->violations->n,
                                v->violations->n == 1 ? "" : "s");
                break;
        case VERDICT_UNVERIFIED:
        case _VERDICT_MAX:
        case VERDICT_AUTHENTIC:
        default:
                text_put(t, "unverified\n");
        }
}
