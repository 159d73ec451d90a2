/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-ear.h"

#include <errno.h>

#include "bytes.h"
#include "guest-policy.h"
#include "snp-result.h"
#include "strutil.h"

/* draft-ietf-rats-ar4si, section 2.3: the values that are used here. */
enum {
        AFFIRMING = 2,
        APPROVED_BOOT = 3,  /* executables */
        NO_KNOWN_VULNS = 3, /* configuration */
        VULNERABLE = 32,
        CONTRAINDICATED = 96,
        UNRECOGNIZED = 97,
        CRYPTO_FAILED = 99,
};

#define WARNING_FROM         32
#define CONTRAINDICATED_FROM 96

#define CLAIM_NAME(id, name) [id] = name,
static const char *const names[] = { SNP_EAR_CLAIMS(CLAIM_NAME) };
static_assert(ELEMENTSOF(names) == _SNP_EAR_CLAIM_MAX, "every claim has a name");

/* Which claim a violated rule is about. A rule that is not listed is one of the configuration. */
static const struct {
        const char *rule;
        SnpEarClaim claim;
        int value;
} rules[] = {
        { "measurement", SNP_EAR_EXECUTABLES, CONTRAINDICATED },
        { "trusted_id_key_hashes", SNP_EAR_EXECUTABLES, CONTRAINDICATED },
        { "trusted_author_key_hashes", SNP_EAR_EXECUTABLES, CONTRAINDICATED },
        { "family_id", SNP_EAR_EXECUTABLES, CONTRAINDICATED },
        { "image_id", SNP_EAR_EXECUTABLES, CONTRAINDICATED },
        { "minimum_guest_svn", SNP_EAR_EXECUTABLES, CONTRAINDICATED },
        { "require_id_block", SNP_EAR_EXECUTABLES, CONTRAINDICATED },
        { "require_author_key", SNP_EAR_EXECUTABLES, CONTRAINDICATED },
        { "report_data", SNP_EAR_INSTANCE, UNRECOGNIZED },
        { "host_data", SNP_EAR_INSTANCE, UNRECOGNIZED },
        { "report_id", SNP_EAR_INSTANCE, UNRECOGNIZED },
        { "report_id_ma", SNP_EAR_INSTANCE, UNRECOGNIZED },
        { "chip_id", SNP_EAR_INSTANCE, UNRECOGNIZED },
        { "require_chip_id", SNP_EAR_INSTANCE, UNRECOGNIZED },
        { "csp_id", SNP_EAR_INSTANCE, UNRECOGNIZED },
        { "product", SNP_EAR_HARDWARE, UNRECOGNIZED },
        { "minimum_tcb", SNP_EAR_HARDWARE, CONTRAINDICATED },
        { "minimum_launch_tcb", SNP_EAR_HARDWARE, CONTRAINDICATED },
        { "minimum_version", SNP_EAR_HARDWARE, CONTRAINDICATED },
        { "minimum_build", SNP_EAR_HARDWARE, CONTRAINDICATED },
        { "minimum_launch_mit_vector", SNP_EAR_HARDWARE, CONTRAINDICATED },
        { "minimum_current_mit_vector", SNP_EAR_HARDWARE, CONTRAINDICATED },
        { "permit_provisional_firmware", SNP_EAR_HARDWARE, CONTRAINDICATED },
        { "tcb_order", SNP_EAR_HARDWARE, CONTRAINDICATED },
        { "version_order", SNP_EAR_HARDWARE, CONTRAINDICATED },
        { "maximum_report_version", SNP_EAR_HARDWARE, UNRECOGNIZED },
        { "debug", SNP_EAR_RUNTIME, CONTRAINDICATED },
        { "migration_agent", SNP_EAR_RUNTIME, CONTRAINDICATED },
};

static void claim_violation(const char *rule, SnpEarVector *v) {
        SnpEarClaim claim = SNP_EAR_CONFIGURATION;
        int value = CONTRAINDICATED;

        FOREACH_ARRAY(x, rules, ELEMENTSOF(rules))
                if (streq(x->rule, rule)) {
                        claim = x->claim;
                        value = x->value;
                }
        v->claim[claim] = MAX(v->claim[claim], value);
}

static void claim_authentic(const SnpResult *r, const SnpPolicy *p, SnpEarVector *v) {
        bool approved = p->guest_policy.rule == SNP_RULE_SET && p->platform_mask.rule == SNP_RULE_SET;
        size_t i = 0;

        if (p->bytes[SNP_FIELD_MEASUREMENT].rule == SNP_RULE_SET)
                v->claim[SNP_EAR_EXECUTABLES] = APPROVED_BOOT;
        v->claim[SNP_EAR_CONFIGURATION] = approved ? AFFIRMING : NO_KNOWN_VULNS;
        v->claim[SNP_EAR_HARDWARE] = r->insecure_root   ? UNRECOGNIZED
                        : snp_result_advisory(r, p, &i) ? VULNERABLE
                                                        : AFFIRMING;
        if (!bytes_are_zero(r->report.chip_id, sizeof(r->report.chip_id)) &&
                        p->bytes[SNP_FIELD_REPORT_DATA].rule == SNP_RULE_SET)
                v->claim[SNP_EAR_INSTANCE] = AFFIRMING;
        /* Whatever the policy allows, that is what it is. */
        v->claim[SNP_EAR_RUNTIME] = r->report.policy & (SNP_POLICY_DEBUG | SNP_POLICY_MIGRATE_MA)
                        ? CONTRAINDICATED
                        : AFFIRMING;
}

void snp_ear_vector(const SnpResult *r, const SnpPolicy *p, const Violations *v, SnpEarVector *ret) {
        *ret = (SnpEarVector) {};
        switch (r->verdict) {
        case VERDICT_NOT_AUTHENTIC:
                FOREACH_ARRAY(claim, ret->claim, ELEMENTSOF(ret->claim))
                        *claim = CRYPTO_FAILED;
                return;
        case VERDICT_VERIFIED:
        case VERDICT_POLICY_NOT_MET:
                claim_authentic(r, p, ret);
                FOREACH_ARRAY(x, v->list, v->n)
                        claim_violation(x->rule, ret);
                return;
        case VERDICT_UNVERIFIED:
        case VERDICT_AUTHENTIC:
        case VERDICT_COLLATERAL_UNAVAILABLE:
        case _VERDICT_MAX:
        default:
                return;
        }
}

const char *snp_ear_status(const SnpEarVector *v) {
        int worst = 0;

        FOREACH_ARRAY(claim, v->claim, ELEMENTSOF(v->claim))
                worst = MAX(worst, *claim);
        return worst >= CONTRAINDICATED_FROM    ? "contraindicated"
                        : worst >= WARNING_FROM ? "warning"
                        : worst >= AFFIRMING    ? "affirming"
                                                : "none";
}

static int rank(const char *status) {
        static const char *const ranks[] = { "affirming", "warning", "none", "contraindicated" };

        for (size_t i = 0; i < ELEMENTSOF(ranks); i++)
                if (streq(status, ranks[i]))
                        return (int) i;
        return (int) ELEMENTSOF(ranks);
}

const char *snp_ear_worse(const char *a, const char *b) {
        return rank(a) >= rank(b) ? a : b;
}

int snp_ear_appraisal(const SnpEarVector *v, Json *policies, Json **ret) {
        _cleanup_js_ Json *j = js_object(), *vector = js_object(), *taken = policies;
        bool any = false;
        int r = j && vector ? js_set(j, "ear_status", js_string(snp_ear_status(v))) : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(v->claim); i++)
                if (v->claim[i] != 0) {
                        any = true;
                        r = js_set(vector, names[i], js_u64((uint64_t) v->claim[i]));
                }
        if (r >= 0 && any)
                r = js_set(j, "ear_trustworthiness_vector", TAKE_PTR(vector));
        if (r >= 0 && taken && js_length(taken) > 0)
                r = js_set(j, "ear_appraisal_policy_ids", TAKE_PTR(taken));
        if (r >= 0)
                *ret = TAKE_PTR(j);
        return r;
}

int snp_ear_claims(Json *submods, const char *status, const char *raw_evidence, int64_t now, Json **ret) {
        _cleanup_js_ Json *j = NULL;
        int r = js_build(&j, "{s:s, s:s, s:o, s:{s:s, s:s}, s:o}", "eat_profile", SNP_EAR_PROFILE,
                        "ear_status", status, "iat", js_u64(now > 0 ? (uint64_t) now : 0), "ear_verifier_id",
                        "developer", "cvmspawn", "build", "cvmspawn " CVMSPAWN_VERSION, "submods", submods);

        if (r >= 0 && raw_evidence)
                r = js_set(j, "ear_raw_evidence", js_string(raw_evidence));
        if (r >= 0)
                *ret = TAKE_PTR(j);
        return r;
}
