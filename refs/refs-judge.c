/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "refs-judge.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "guest-policy.h"
#include "strutil.h"

static bool has_floors(const RefsBundle *b) {
        bool any = false;

        for (int g = 0; g < _SNP_GENERATION_MAX; g++)
                any = any || b->has_tcb[g];
        return any;
}

static void apply_floors(const RefsBundle *b, SnpTcbRule *rule) {
        bool was_set = rule->rule == SNP_RULE_SET;

        if (!has_floors(b))
                return;
        for (int g = 0; g < _SNP_GENERATION_MAX; g++) {
                bool both = was_set && rule->given[g] && b->has_tcb[g];

                rule->given[g] = b->has_tcb[g] && (!was_set || rule->given[g]);
                if (!both)
                        rule->minimum[g] = b->tcb[g];
                for (int p = 0; both && p < _SNP_TCB_PART_MAX; p++)
                        rule->minimum[g].part[p] = MAX(rule->minimum[g].part[p], b->tcb[g].part[p]);
        }
        rule->rule = SNP_RULE_SET;
}

/* As in check.proto `policy` is the most permissive that is accepted. */
static void apply_guest_policy(const RefsBundle *b, SnpNumberRule *rule) {
        const uint64_t permissive =
                        SNP_POLICY_SMT | SNP_POLICY_MIGRATE_MA | SNP_POLICY_DEBUG | SNP_POLICY_CXL;
        uint64_t a = b->guest_policy, z = rule->value;

        if (!b->has_guest_policy)
                return;
        if (rule->rule != SNP_RULE_SET)
                z = a;
        *rule = (SnpNumberRule) { SNP_RULE_SET,
                MAX(a & 0xffff, z & 0xffff) | (((a | z) & ~permissive) & ~UINT64_C(0xffff)) |
                                (a & z & permissive) };
}

static int apply_platform(const RefsBundle *b, SnpPolicy *p, char **reterr) {
        const RefsPlatform *x = &b->platform;
        uint64_t mask = (x->has_smt ? REFS_PLATFORM_SMT : 0) | (x->has_tsme ? REFS_PLATFORM_TSME : 0);
        uint64_t value = (x->has_smt && x->smt ? REFS_PLATFORM_SMT : 0) |
                        (x->has_tsme && x->tsme ? REFS_PLATFORM_TSME : 0);
        uint64_t own = p->platform_mask.rule == SNP_RULE_SET ? p->platform_mask.value : 0;

        if (mask == 0)
                return 0;
        if ((p->platform_value ^ value) & own & mask)
                return error_set(reterr, -EINVAL,
                                "the policy and the bundle expect opposite bits of platform_info (0x%" PRIx64
                                "): no report meets both",
                                (p->platform_value ^ value) & own & mask);
        p->platform_value = (own ? p->platform_value & own : 0) | value;
        p->platform_mask = (SnpNumberRule) { SNP_RULE_SET, own | mask };
        return 0;
}

int refs_policy_apply(const RefsBundle *b, SnpPolicy *p, char **reterr) {
        apply_floors(b, &p->minimum_tcb);
        apply_guest_policy(b, &p->guest_policy);
        return apply_platform(b, p, reterr);
}

int refs_policy_text(const RefsBundle *b, SnpGeneration g, char **ret) {
        _cleanup_(text_done) Text t = {};
        const char *between = "";

        if (g >= 0 && has_floors(b)) {
                _cleanup_free_ char *tcb = b->has_tcb[g] ? snp_tcb_text(b->tcb + g, g) : NULL;

                if (b->has_tcb[g] && !tcb)
                        return -ENOMEM;
                text_putf(&t, "%s: %s", snp_generation_product(g), tcb ?: "no floor, so refused");
                between = "; ";
        }
        if (b->platform.has_smt) {
                text_putf(&t, "%sSMT %s", between, b->platform.smt ? "on" : "off");
                between = "; ";
        }
        if (b->platform.has_tsme) {
                text_putf(&t, "%sTSME %s", between, b->platform.tsme ? "on" : "off");
                between = "; ";
        }
        if (b->has_guest_policy)
                text_putf(&t, "%sguest policy 0x%" PRIx64, between, b->guest_policy);
        return t.size > 0 ? text_finish(&t, ret) : t.error;
}
