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
#include "guest-policy.h"
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

const uint8_t *snp_field_bytes(const SnpReport *r, SnpBytesField f) {
        assert(f >= 0 && f < _SNP_FIELD_MAX);
        return (const uint8_t *) r + fields[f].offset;
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

/* What must be given or waived by name: never both, or the order of the options would decide. */
static bool is_required(int f) {
        return f == SNP_FIELD_MEASUREMENT || f == SNP_FIELD_REPORT_DATA;
}

static int say_which(int f, char **reterr) {
        return error_set(reterr, -EINVAL, "%s is both expected and waived (insecure, any): use one of them",
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
        strv_free(p->acknowledged);
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

int snp_policy_expect_elsewhere(SnpPolicy *p, SnpBytesField f, const char *where, char **reterr) {
        SnpBytesRule *b = p->bytes + f;

        if (is_required(f) && b->rule == SNP_RULE_ANY)
                return say_which(f, reterr);
        b->rule = SNP_RULE_SET;
        b->elsewhere = where;
        return 0;
}

void snp_policy_accept_any_measurement_acknowledging_forgery(SnpPolicy *p) {
        p->bytes[SNP_FIELD_MEASUREMENT].rule = SNP_RULE_ANY;
}

void snp_policy_accept_any_report_data_acknowledging_replay(SnpPolicy *p) {
        p->bytes[SNP_FIELD_REPORT_DATA].rule = SNP_RULE_ANY;
}

int snp_policy_decided(const SnpPolicy *p, char **reterr) {
        if (p->bytes[SNP_FIELD_MEASUREMENT].rule == SNP_RULE_UNSET)
                return error_set(reterr, -EINVAL,
                                "no expected measurement: give --measurement, --reference or a policy file, or waive it with --insecure-any-measurement");
        if (p->bytes[SNP_FIELD_REPORT_DATA].rule == SNP_RULE_UNSET)
                return error_set(reterr, -EINVAL,
                                "no expected report data: give --report-data, --bound-to or a policy file, or waive it with --insecure-any-report-data");
        for (int f = 0; f < _SNP_FIELD_MAX; f++)
                if (is_required(f) && p->bytes[f].rule == SNP_RULE_ANY && p->bytes[f].n_values > 0)
                        return say_which(f, reterr);
        for (int f = 0; f < _SNP_FIELD_MAX; f++)
                if (p->bytes[f].rule == SNP_RULE_UNSET)
                        return error_set(reterr, -EINVAL, "no rule is set for %s", fields[f].name);
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
                { "migration_agent", p->allow_migration_agent ? SNP_RULE_ANY : SNP_RULE_SET },
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
