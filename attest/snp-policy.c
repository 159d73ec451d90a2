/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-policy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"

static const struct {
        const char *name; /* in the policy file */
        size_t size, offset;
} fields[] = {
        [SNP_FIELD_MEASUREMENT] = { "measurement", 48, offsetof(SnpReport, measurement) },
        [SNP_FIELD_REPORT_DATA] = { "report_data", 64, offsetof(SnpReport, report_data) },
        [SNP_FIELD_HOST_DATA] = { "host_data", 32, offsetof(SnpReport, host_data) },
        [SNP_FIELD_FAMILY_ID] = { "family_id", 16, offsetof(SnpReport, family_id) },
        [SNP_FIELD_IMAGE_ID] = { "image_id", 16, offsetof(SnpReport, image_id) },
        [SNP_FIELD_ID_KEY_DIGEST] = { "trusted_id_key_hashes", 48, offsetof(SnpReport, id_key_digest) },
        [SNP_FIELD_AUTHOR_KEY_DIGEST] = { "trusted_author_key_hashes", 48,
                        offsetof(SnpReport, author_key_digest) },
        [SNP_FIELD_REPORT_ID] = { "report_id", 32, offsetof(SnpReport, report_id) },
        [SNP_FIELD_REPORT_ID_MA] = { "report_id_ma", 32, offsetof(SnpReport, report_id_ma) },
        [SNP_FIELD_CHIP_ID] = { "chip_id", 64, offsetof(SnpReport, chip_id) },
};
static_assert(ELEMENTSOF(fields) == _SNP_FIELD_MAX, "every field has a row");

size_t snp_field_size(SnpBytesField f) {
        assert(f >= 0 && f < _SNP_FIELD_MAX);
        return fields[f].size;
}

const char *snp_field_to_string(SnpBytesField f) {
        return f >= 0 && f < _SNP_FIELD_MAX ? fields[f].name : NULL;
}

SnpBytesField snp_field_from_string(const char *s) {
        for (int f = 0; f < _SNP_FIELD_MAX; f++)
                if (streq(s, fields[f].name))
                        return (SnpBytesField) f;
        return _SNP_FIELD_INVALID;
}

/* What must be given or waived by name: never both, or the order of the words would decide. */
static bool is_required(int f) {
        return f == SNP_FIELD_MEASUREMENT || f == SNP_FIELD_REPORT_DATA;
}

static int say_which(int f, char **reterr) {
        return error_set(reterr, -EINVAL, "%s is both expected and waived (insecure, any): say which",
                        fields[f].name);
}

void snp_policy_init(SnpPolicy *p) {
        const SnpNumberRule any = { SNP_RULE_ANY, 0 };

        *p = (SnpPolicy) {
                .vmpl = { SNP_RULE_SET, 0 },
                .guest_policy = any,
                .minimum_guest_svn = any,
                .minimum_tcb.rule = SNP_RULE_ANY,
                .minimum_launch_tcb.rule = SNP_RULE_ANY,
                .minimum_version = any,
                .minimum_build = any,
                .permit_provisional_firmware = true,
                .platform_mask = any,
                .launch_mitigations = any,
                .current_mitigations = any,
                .maximum_report_version = { SNP_RULE_SET, SNP_REPORT_VERSION_MAX },
                .products = any,
                .csp_rule = SNP_RULE_ANY,
        };
        for (int f = 0; f < _SNP_FIELD_MAX; f++)
                p->bytes[f].rule = is_required(f) ? SNP_RULE_UNSET : SNP_RULE_ANY;
}

void snp_policy_done(SnpPolicy *p) {
        FOREACH_ARRAY(b, p->bytes, ELEMENTSOF(p->bytes))
                free(b->values);
        strv_free(p->csp_ids);
        *p = (SnpPolicy) {};
}

int snp_policy_accept(SnpPolicy *p, SnpBytesField f, const uint8_t *value, char **reterr) {
        SnpBytesRule *b = p->bytes + f;
        size_t n = snp_field_size(f);
        uint8_t *values;

        if (is_required(f) && b->rule == SNP_RULE_ANY)
                return say_which(f, reterr);
        if (b->n_values >= SNP_POLICY_VALUES_MAX)
                return error_set(reterr, -E2BIG, "more than %u values for %s", SNP_POLICY_VALUES_MAX,
                                fields[f].name);
        values = realloc(b->values, (b->n_values + 1) * n);
        if (!values)
                return -ENOMEM;
        memcpy(values + b->n_values * n, value, n);
        b->values = values;
        b->n_values++;
        b->rule = SNP_RULE_SET;
        return 0;
}

void snp_policy_accept_any_measurement_acknowledging_forgery(SnpPolicy *p) {
        p->bytes[SNP_FIELD_MEASUREMENT].rule = SNP_RULE_ANY;
}

void snp_policy_accept_any_report_data_acknowledging_replay(SnpPolicy *p) {
        p->bytes[SNP_FIELD_REPORT_DATA].rule = SNP_RULE_ANY;
}

void snp_violations_done(SnpViolations *v) {
        FOREACH_ARRAY(x, v->list, v->n) {
                free(x->expected);
                free(x->got);
        }
        free(v->list);
        *v = (SnpViolations) {};
}

/* Takes both texts, also on failure; a NULL one is -ENOMEM. */
static int violate_consume(SnpViolations *v, const char *rule, char *expected, char *got) {
        SnpViolation *list = expected && got ? realloc(v->list, (v->n + 1) * sizeof(SnpViolation)) : NULL;

        if (!list) {
                free(expected);
                free(got);
                return -ENOMEM;
        }
        v->list = list;
        v->list[v->n++] = (SnpViolation) { rule, expected, got };
        return 0;
}

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
        violate_consume(v, rule, text(format, expected), text("%" PRIu64, (uint64_t) (got)))

static int check_bytes(const SnpPolicy *p, const SnpReport *r, SnpViolations *v) {
        for (int f = 0; f < _SNP_FIELD_MAX; f++) {
                const SnpBytesRule *b = p->bytes + f;
                const uint8_t *got = (const uint8_t *) r + fields[f].offset;
                bool found = false;
                int k;

                if (b->rule != SNP_RULE_SET)
                        continue;
                for (size_t i = 0; i < b->n_values && !found; i++)
                        found = memcmp(b->values + i * fields[f].size, got, fields[f].size) == 0;
                if (found)
                        continue;
                k = violate_consume(v, fields[f].name,
                                b->n_values == 1 ? hex_encode(b->values, fields[f].size)
                                                 : text("one of %zu accepted values", b->n_values),
                                hex_encode(got, fields[f].size));
                if (k < 0)
                        return k;
        }
        return 0;
}

/* check.proto's words: `policy` is the most permissive guest policy accepted. What it does not allow the report must not allow; what it
 * requires the report must require; the ABI version is the least. */
static int check_guest_policy(const SnpPolicy *p, const SnpReport *r, SnpViolations *v) {
        const uint64_t permissive = SNP_POLICY_SMT | SNP_POLICY_MIGRATE_MA | SNP_POLICY_CXL;
        const uint64_t restrictive = SNP_POLICY_SINGLE_SOCKET | SNP_POLICY_AES_256_XTS |
                        SNP_POLICY_RAPL_DISABLED | SNP_POLICY_CIPHERTEXT_HIDING |
                        SNP_POLICY_PAGE_SWAP_DISABLE;
        uint64_t want = p->guest_policy.value, extra, missing;
        int k = 0;

        if (r->policy & SNP_POLICY_DEBUG && !p->allow_debug)
                k = violate_consume(v, "debug",
                                strdup("a guest that its host cannot debug (POLICY.DEBUG 0)"),
                                text("policy 0x%" PRIx64 ", which allows it", r->policy));
        if (k == 0 && (!(r->policy & SNP_POLICY_RESERVED_ONE) || r->policy & SNP_POLICY_RESERVED_ZERO))
                k = violate_consume(v, "policy", strdup("bit 17 set, bits 26 to 63 clear"),
                                text("0x%" PRIx64, r->policy));
        if (k < 0 || p->guest_policy.rule != SNP_RULE_SET)
                return k;

        extra = r->policy & permissive & ~want;
        missing = want & restrictive & ~r->policy;
        if (extra)
                k = violate_consume(v, "policy", text("nothing allowed beyond policy 0x%" PRIx64, want),
                                snp_policy_bits_text(extra));
        if (k == 0 && missing)
                k = violate_consume(v, "policy", snp_policy_bits_text(missing), strdup("not required"));
        if (k == 0 && (r->policy & 0xffff) < (want & 0xffff))
                k = violate_consume(v, "policy",
                                text("ABI %u.%u or newer", (unsigned) (want >> 8 & 0xff),
                                                (unsigned) (want & 0xff)),
                                text("%u.%u", (unsigned) (r->policy >> 8 & 0xff),
                                                (unsigned) (r->policy & 0xff)));
        return k;
}

static int check_numbers(const SnpPolicy *p, const SnpReport *r, SnpViolations *v) {
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
                k = violate_consume(v, "minimum_version",
                                text("at least %u.%u", (unsigned) (p->minimum_version.value >> 8),
                                                (unsigned) (p->minimum_version.value & 0xff)),
                                text("%u.%u", r->committed_version.major, r->committed_version.minor));
        if (k == 0 && !p->permit_provisional_firmware &&
                        (version != committed || r->current_version.build != r->committed_version.build ||
                                        memcmp(r->current_tcb, r->committed_tcb, SNP_TCB_SIZE) != 0))
                k = violate_consume(v, "permit_provisional_firmware", strdup("committed firmware only"),
                                strdup("a current version or TCB beyond it"));
        return k;
}

static int check_masks(const SnpPolicy *p, const SnpReport *r, SnpViolations *v) {
        uint64_t mask = p->platform_mask.value;
        int k = 0;

        if (p->platform_mask.rule == SNP_RULE_SET && (r->platform_info & mask) != (p->platform_value & mask))
                k = violate_consume(v, "platform_info",
                                text("0x%" PRIx64 " under mask 0x%" PRIx64, p->platform_value & mask, mask),
                                text("0x%" PRIx64, r->platform_info));
        if (k == 0 && p->launch_mitigations.rule == SNP_RULE_SET &&
                        p->launch_mitigations.value & ~r->launch_mit_vector)
                k = violate_consume(v, "minimum_launch_mit_vector",
                                text("0x%" PRIx64, p->launch_mitigations.value),
                                text("0x%" PRIx64, r->launch_mit_vector));
        if (k == 0 && p->current_mitigations.rule == SNP_RULE_SET &&
                        p->current_mitigations.value & ~r->current_mit_vector)
                k = violate_consume(v, "minimum_current_mit_vector",
                                text("0x%" PRIx64, p->current_mitigations.value),
                                text("0x%" PRIx64, r->current_mit_vector));
        if (k == 0 && p->require_author_key && !r->author_key_enabled)
                k = violate_consume(v, "require_author_key", strdup("an author key"),
                                strdup("a guest launched without one"));
        if (k == 0 && p->require_id_block && bytes_are_zero(r->id_key_digest, sizeof(r->id_key_digest)))
                k = violate_consume(v, "require_id_block", strdup("an ID block"),
                                strdup("a guest launched without one"));
        return k;
}

static int check_minimum(const SnpTcbRule *rule, const char *name, const uint8_t *raw, SnpGeneration g,
                SnpViolations *v) {
        SnpTcb got;

        if (rule->rule != SNP_RULE_SET)
                return 0;
        if (!rule->given[g])
                return violate_consume(v, name, text("a minimum for %s", snp_generation_product(g)),
                                strdup("a policy without one"));
        if (snp_tcb_decode(raw, g, &got) == 0 && snp_tcb_at_least(&got, rule->minimum + g))
                return 0;
        return violate_consume(v, name, snp_tcb_text(rule->minimum + g, g),
                        snp_tcb_decode(raw, g, &got) < 0 ? hex_encode(raw, SNP_TCB_SIZE)
                                                         : snp_tcb_text(&got, g));
}

/* REPORTED <= COMMITTED <= CURRENT and LAUNCH <= CURRENT, component by component: what firmware guarantees. */
static int check_order(const SnpReport *r, SnpGeneration g, SnpViolations *v) {
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
                k = violate_consume(v, "tcb_order", strdup(pair->name),
                                text("%02x%02x%02x%02x%02x%02x%02x%02x against "
                                     "%02x%02x%02x%02x%02x%02x%02x%02x",
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
static int check_version_order(const SnpReport *r, SnpViolations *v) {
        const SnpVersion *low = &r->committed_version, *high = &r->current_version;
        int d = low->major != high->major           ? low->major - high->major
                        : low->minor != high->minor ? low->minor - high->minor
                                                    : low->build - high->build;

        if (d <= 0)
                return 0;
        return violate_consume(v, "version_order",
                        text("committed firmware at most the current %u.%u build %u", high->major,
                                        high->minor, high->build),
                        text("%u.%u build %u", low->major, low->minor, low->build));
}

static int check_origin(const SnpPolicy *p, const SnpResult *r, SnpViolations *v) {
        int k = 0;

        if (p->products.rule == SNP_RULE_SET && !(p->products.value >> r->generation & 1))
                k = violate_consume(v, "product", strdup("an accepted processor generation"),
                                strdup(snp_generation_product(r->generation)));
        if (k == 0 && p->csp_rule == SNP_RULE_SET && !strv_contains(p->csp_ids, r->leaf->leaf.csp_id))
                k = violate_consume(v, "csp_id", strv_join(p->csp_ids, " or "),
                                strdup(r->leaf->leaf.csp_id[0] ? r->leaf->leaf.csp_id
                                                               : "no provider's key (VCEK)"));
        return k;
}

int snp_policy_decided(const SnpPolicy *p, char **reterr) {
        if (p->bytes[SNP_FIELD_MEASUREMENT].rule == SNP_RULE_UNSET)
                return error_set(reterr, -EINVAL,
                                "no expected measurement: give --measurement, --reference or a policy file, "
                                "or waive it "
                                "with --insecure-any-measurement");
        if (p->bytes[SNP_FIELD_REPORT_DATA].rule == SNP_RULE_UNSET)
                return error_set(reterr, -EINVAL,
                                "no expected report data: give --report-data, --bound-to or a policy file, "
                                "or waive it "
                                "with --insecure-any-report-data");
        for (int f = 0; f < _SNP_FIELD_MAX; f++)
                if (is_required(f) && p->bytes[f].rule == SNP_RULE_ANY && p->bytes[f].n_values > 0)
                        return say_which(f, reterr);
        for (int f = 0; f < _SNP_FIELD_MAX; f++)
                if (p->bytes[f].rule == SNP_RULE_UNSET)
                        return error_set(reterr, -EINVAL, "nobody decided about %s", fields[f].name);
        if (p->vmpl.rule == SNP_RULE_UNSET || p->guest_policy.rule == SNP_RULE_UNSET ||
                        p->minimum_guest_svn.rule == SNP_RULE_UNSET ||
                        p->minimum_tcb.rule == SNP_RULE_UNSET ||
                        p->minimum_launch_tcb.rule == SNP_RULE_UNSET ||
                        p->minimum_version.rule == SNP_RULE_UNSET ||
                        p->minimum_build.rule == SNP_RULE_UNSET || p->platform_mask.rule == SNP_RULE_UNSET ||
                        p->launch_mitigations.rule == SNP_RULE_UNSET ||
                        p->current_mitigations.rule == SNP_RULE_UNSET ||
                        p->maximum_report_version.rule == SNP_RULE_UNSET ||
                        p->products.rule == SNP_RULE_UNSET || p->csp_rule == SNP_RULE_UNSET)
                return error_set(reterr, -EINVAL, "a policy that was not initialised");
        return 0;
}

int snp_policy_judge(const SnpPolicy *p, SnpResult *result, SnpViolations *ret, char **reterr) {
        _cleanup_(snp_violations_done) SnpViolations v = {};
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
        *ret = TAKE_STRUCT(v, (SnpViolations) {});
        return 0;
}

int snp_policy_waived(const SnpPolicy *p, Json **ret) {
        const struct {
                const char *name;
                SnpRule rule;
        } rules[] = {
                { "vmpl", p->vmpl.rule },
                { "policy", p->guest_policy.rule },
                { "minimum_guest_svn", p->minimum_guest_svn.rule },
                { "minimum_tcb", p->minimum_tcb.rule },
                { "minimum_launch_tcb", p->minimum_launch_tcb.rule },
                { "minimum_version", p->minimum_version.rule },
                { "minimum_build", p->minimum_build.rule },
                { "platform_info", p->platform_mask.rule },
                { "minimum_launch_mit_vector", p->launch_mitigations.rule },
                { "minimum_current_mit_vector", p->current_mitigations.rule },
                { "maximum_report_version", p->maximum_report_version.rule },
                { "product", p->products.rule },
                { "csp_id", p->csp_rule },
                { "debug", p->allow_debug ? SNP_RULE_ANY : SNP_RULE_SET },
        };
        _cleanup_js_ Json *a = js_array();
        int k;

        if (!a)
                return -ENOMEM;
        for (int f = 0; f < _SNP_FIELD_MAX; f++)
                if (p->bytes[f].rule == SNP_RULE_ANY) {
                        k = js_append(a, js_string(fields[f].name));
                        if (k < 0)
                                return k;
                }
        FOREACH_ARRAY(rule, rules, ELEMENTSOF(rules))
                if (rule->rule == SNP_RULE_ANY) {
                        k = js_append(a, js_string(rule->name));
                        if (k < 0)
                                return k;
                }
        *ret = TAKE_PTR(a);
        return 0;
}
