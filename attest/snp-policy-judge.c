/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a report says against what a policy wants, rule by rule. */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "guest-policy.h"
#include "snp-policy.h"
#include "strutil.h"

static char *text(const char *format, ...) _printf_(1, 2);
static char *text(const char *format, ...) {
        char *s = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&s, format, ap);
        va_end(ap);
        return n < 0 ? NULL : s;
}

/* A violation whose two texts are made from numbers by the same format. */
#define VIOLATE(v, rule, format, expected, got)                                                             \
        violation_add(v, rule, text(format, expected), text("%" PRIu64, (uint64_t) (got)))

/* Owned; NULL: out of memory. */
static char *expected_bytes(const SnpBytesRule *b, size_t n) {
        if (b->n_values == 0)
                return strdup(b->elsewhere ?: "none");
        if (b->n_values == 1 && !b->elsewhere)
                return hex_encode(b->values, n);
        return text("one of %zu accepted values%s%s", b->n_values, b->elsewhere ? ", or " : "",
                        b->elsewhere ?: "");
}

static int check_bytes(const SnpPolicy *p, const SnpReport *r, Violations *v) {
        for (int f = 0; f < _SNP_FIELD_MAX; f++) {
                const SnpBytesRule *b = p->bytes + f;
                const uint8_t *got = snp_field_bytes(r, (SnpBytesField) f);
                size_t n = snp_field_size((SnpBytesField) f);
                bool found = false;
                int k;

                if (b->rule != SNP_RULE_SET)
                        continue;
                for (size_t i = 0; i < b->n_values && !found; i++)
                        found = memcmp(b->values + i * n, got, n) == 0;
                if (found)
                        continue;
                k = violation_add(v, snp_field_to_string((SnpBytesField) f), expected_bytes(b, n),
                                hex_encode(got, n));
                if (k < 0)
                        return k;
        }
        return 0;
}

/* Without an agent REPORT_ID_MA is all ones (AMD 56860, ATTESTATION_REPORT). The host chooses the agent, and no digest covers it: it can
 * read the guest's memory and move it. */
static bool has_migration_agent(const SnpReport *r) {
        for (size_t i = 0; i < sizeof(r->report_id_ma); i++)
                if (r->report_id_ma[i] != 0xff)
                        return !bytes_are_zero(r->report_id_ma, sizeof(r->report_id_ma));
        return false;
}

/* check.proto's words: `policy` is the most permissive guest policy accepted. What it does not allow the report must not allow; what it
 * requires the report must require; the ABI version is the least. */
static int check_guest_policy(const SnpPolicy *p, const SnpReport *r, Violations *v) {
        const uint64_t permissive = SNP_POLICY_SMT | SNP_POLICY_MIGRATE_MA | SNP_POLICY_CXL;
        const uint64_t restrictive = SNP_POLICY_SINGLE_SOCKET | SNP_POLICY_AES_256_XTS |
                        SNP_POLICY_RAPL_DISABLED | SNP_POLICY_CIPHERTEXT_HIDING |
                        SNP_POLICY_PAGE_SWAP_DISABLE;
        uint64_t want = p->guest_policy.value, extra, missing;
        int k = 0;

        if (r->policy & SNP_POLICY_DEBUG && !p->allow_debug)
                k = violation_add(v, "debug", strdup("a guest that its host cannot debug (POLICY.DEBUG 0)"),
                                text("policy 0x%" PRIx64 ", which allows it", r->policy));
        if (k == 0 && (!(r->policy & SNP_POLICY_RESERVED_ONE) || r->policy & SNP_POLICY_RESERVED_ZERO))
                k = violation_add(v, "policy", strdup("bit 17 set, bits 26 to 63 clear"),
                                text("0x%" PRIx64, r->policy));
        if (k == 0 && !p->allow_migration_agent && p->bytes[SNP_FIELD_REPORT_ID_MA].rule != SNP_RULE_SET &&
                        (r->policy & SNP_POLICY_MIGRATE_MA || has_migration_agent(r)))
                k = violation_add(v, "migration_agent",
                                strdup("a guest without a migration agent (POLICY.MIGRATE_MA 0, no REPORT_ID_MA)"),
                                text("policy 0x%" PRIx64 "%s", r->policy,
                                                has_migration_agent(r) ? ", bound to an agent"
                                                                       : ", which allows one"));
        if (k < 0 || p->guest_policy.rule != SNP_RULE_SET)
                return k;

        extra = r->policy & permissive & ~want;
        missing = want & restrictive & ~r->policy;
        if (extra)
                k = violation_add(v, "policy", text("nothing allowed beyond policy 0x%" PRIx64, want),
                                snp_policy_bits_text(extra));
        if (k == 0 && missing)
                k = violation_add(v, "policy", snp_policy_bits_text(missing), strdup("not required"));
        if (k == 0 && (r->policy & 0xffff) < (want & 0xffff))
                k = violation_add(v, "policy",
                                text("ABI %u.%u or newer", (unsigned) (want >> 8 & 0xff),
                                                (unsigned) (want & 0xff)),
                                text("%u.%u", (unsigned) (r->policy >> 8 & 0xff),
                                                (unsigned) (r->policy & 0xff)));
        return k;
}

static int check_numbers(const SnpPolicy *p, const SnpReport *r, Violations *v) {
        uint64_t version = (uint64_t) r->current_version.major << 8 | r->current_version.minor;
        uint64_t committed = (uint64_t) r->committed_version.major << 8 | r->committed_version.minor;
        int k = 0;

        if (p->maximum_report_version.rule == SNP_RULE_SET && r->version > p->maximum_report_version.value)
                k = VIOLATE(v, "maximum_report_version", "at most %" PRIu64, p->maximum_report_version.value,
                                r->version);
        if (k == 0 && p->vmpl.rule == SNP_RULE_SET && r->vmpl != p->vmpl.value)
                k = VIOLATE(v, "vmpl", "%" PRIu64, p->vmpl.value, r->vmpl);
        if (k == 0 && p->minimum_guest_svn.rule == SNP_RULE_SET && r->guest_svn < p->minimum_guest_svn.value)
                k = VIOLATE(v, "minimum_guest_svn", "at least %" PRIu64, p->minimum_guest_svn.value,
                                r->guest_svn);
        if (k == 0 && p->minimum_build.rule == SNP_RULE_SET &&
                        r->committed_version.build < p->minimum_build.value)
                k = VIOLATE(v, "minimum_build", "at least %" PRIu64, p->minimum_build.value,
                                r->committed_version.build);
        if (k == 0 && p->minimum_version.rule == SNP_RULE_SET && committed < p->minimum_version.value)
                k = violation_add(v, "minimum_version",
                                text("at least %u.%u", (unsigned) (p->minimum_version.value >> 8),
                                                (unsigned) (p->minimum_version.value & 0xff)),
                                text("%u.%u", r->committed_version.major, r->committed_version.minor));
        if (k == 0 && !p->permit_provisional_firmware &&
                        (version != committed || r->current_version.build != r->committed_version.build ||
                                        memcmp(r->current_tcb, r->committed_tcb, SNP_TCB_SIZE) != 0))
                k = violation_add(v, "permit_provisional_firmware", strdup("committed firmware only"),
                                strdup("a current version or TCB beyond it"));
        return k;
}

static int check_masks(const SnpPolicy *p, const SnpReport *r, Violations *v) {
        uint64_t mask = p->platform_mask.value;
        int k = 0;

        if (p->platform_mask.rule == SNP_RULE_SET && (r->platform_info & mask) != (p->platform_value & mask))
                k = violation_add(v, "platform_info",
                                text("0x%" PRIx64 " under mask 0x%" PRIx64, p->platform_value & mask, mask),
                                text("0x%" PRIx64, r->platform_info));
        if (k == 0 && p->launch_mitigations.rule == SNP_RULE_SET &&
                        p->launch_mitigations.value & ~r->launch_mit_vector)
                k = violation_add(v, "minimum_launch_mit_vector",
                                text("0x%" PRIx64, p->launch_mitigations.value),
                                text("0x%" PRIx64, r->launch_mit_vector));
        if (k == 0 && p->current_mitigations.rule == SNP_RULE_SET &&
                        p->current_mitigations.value & ~r->current_mit_vector)
                k = violation_add(v, "minimum_current_mit_vector",
                                text("0x%" PRIx64, p->current_mitigations.value),
                                text("0x%" PRIx64, r->current_mit_vector));
        if (k == 0 && p->require_chip_id && bytes_are_zero(r->chip_id, sizeof(r->chip_id)))
                k = violation_add(v, "require_chip_id", strdup("a report bound to its chip"),
                                strdup("a CHIP_ID of zeros (MASK_CHIP_ID, or signed by a VLEK)"));
        if (k == 0 && p->require_author_key && !r->author_key_enabled)
                k = violation_add(v, "require_author_key", strdup("an author key"),
                                strdup("a guest launched without one"));
        if (k == 0 && p->require_id_block && bytes_are_zero(r->id_key_digest, sizeof(r->id_key_digest)))
                k = violation_add(v, "require_id_block", strdup("an ID block"),
                                strdup("a guest launched without one"));
        return k;
}

static int check_minimum(const SnpTcbRule *rule, const char *name, const uint8_t *raw, SnpGeneration g,
                Violations *v) {
        SnpTcb got;

        if (rule->rule != SNP_RULE_SET)
                return 0;
        if (!rule->given[g])
                return violation_add(v, name, text("a minimum for %s", snp_generation_product(g)),
                                strdup("a policy without one"));
        if (snp_tcb_decode(raw, g, &got) == 0 && snp_tcb_at_least(&got, rule->minimum + g))
                return 0;
        return violation_add(v, name, snp_tcb_text(rule->minimum + g, g),
                        snp_tcb_decode(raw, g, &got) < 0 ? hex_encode(raw, SNP_TCB_SIZE)
                                                         : snp_tcb_text(&got, g));
}

/* REPORTED <= COMMITTED <= CURRENT and LAUNCH <= CURRENT, component by component: what firmware guarantees. */
static int check_order(const SnpReport *r, SnpGeneration g, Violations *v) {
        const struct {
                const char *name;
                const uint8_t *low, *high;
        } pairs[] = {
                { "reported TCB at most committed", r->reported_tcb, r->committed_tcb },
                { "committed TCB at most current", r->committed_tcb, r->current_tcb },
                { "launch TCB at most current", r->launch_tcb, r->current_tcb },
        };

        FOREACH_ARRAY(pair, pairs, ELEMENTSOF(pairs)) {
                SnpTcb low, high;
                int k;

                if (snp_tcb_decode(pair->low, g, &low) == 0 && snp_tcb_decode(pair->high, g, &high) == 0 &&
                                snp_tcb_at_least(&high, &low))
                        continue;
                k = violation_add(v, "tcb_order", strdup(pair->name),
                                text("%02x%02x%02x%02x%02x%02x%02x%02x against %02x%02x%02x%02x%02x%02x%02x%02x",
                                                pair->low[0], pair->low[1], pair->low[2], pair->low[3],
                                                pair->low[4], pair->low[5], pair->low[6], pair->low[7],
                                                pair->high[0], pair->high[1], pair->high[2], pair->high[3],
                                                pair->high[4], pair->high[5], pair->high[6], pair->high[7]));
                if (k < 0)
                        return k;
        }
        return 0;
}

/* COMMITTED <= CURRENT for the firmware's version, too; the build counts within a version. */
static int check_version_order(const SnpReport *r, Violations *v) {
        const SnpVersion *low = &r->committed_version, *high = &r->current_version;
        int d = low->major != high->major           ? low->major - high->major
                        : low->minor != high->minor ? low->minor - high->minor
                                                    : low->build - high->build;

        if (d <= 0)
                return 0;
        return violation_add(v, "version_order",
                        text("committed firmware at most the current %u.%u build %u", high->major,
                                        high->minor, high->build),
                        text("%u.%u build %u", low->major, low->minor, low->build));
}

static int check_origin(const SnpPolicy *p, const SnpResult *r, Violations *v) {
        int k = 0;

        if (p->products.rule == SNP_RULE_SET && !(p->products.value >> r->generation & 1))
                k = violation_add(v, "product", strdup("an accepted processor generation"),
                                strdup(snp_generation_product(r->generation)));
        if (k == 0 && p->csp_rule == SNP_RULE_SET && !strv_contains(p->csp_ids, r->leaf->leaf.csp_id))
                k = violation_add(v, "csp_id", strv_join(p->csp_ids, " or "),
                                strdup(r->leaf->leaf.csp_id[0] ? r->leaf->leaf.csp_id
                                                               : "no provider's key (VCEK)"));
        return k;
}

int snp_policy_judge(const SnpPolicy *p, SnpResult *result, Violations *ret, char **reterr) {
        _cleanup_(violations_done) Violations v = {};
        const SnpReport *r = &result->report;
        int k;

        if (!result->authentic || !result->leaf)
                return error_set(reterr, -EINVAL, "the report is not authentic: there is nothing to judge");
        k = snp_policy_decided(p, reterr);
        if (k < 0)
                return k;
        k = check_bytes(p, r, &v);
        if (k == 0)
                k = check_guest_policy(p, r, &v);
        if (k == 0)
                k = check_numbers(p, r, &v);
        if (k == 0)
                k = check_masks(p, r, &v);
        if (k == 0)
                k = check_minimum(&p->minimum_tcb, "minimum_tcb", r->reported_tcb, result->generation, &v);
        if (k == 0)
                k = check_minimum(&p->minimum_launch_tcb, "minimum_launch_tcb", r->launch_tcb,
                                result->generation, &v);
        if (k == 0)
                k = check_order(r, result->generation, &v);
        if (k == 0)
                k = check_version_order(r, &v);
        if (k == 0)
                k = check_origin(p, result, &v);
        if (k < 0)
                return k;

        result->verdict = v.n > 0 ? VERDICT_POLICY_NOT_MET : VERDICT_VERIFIED;
        *ret = TAKE_STRUCT(v, (Violations) {});
        return 0;
}
