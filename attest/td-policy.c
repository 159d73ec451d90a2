/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "td-policy.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

static const struct {
        const char *name; /* in the policy file */
        size_t size, offset;
        bool required; /* given, or waived by name */
} fields[] = {
        [TD_FIELD_MEASUREMENT] = { "measurement", 48, offsetof(TdQuote, mrtd), true },
        [TD_FIELD_RTMR0] = { "rtmr0", 48, offsetof(TdQuote, rtmr[0]), true },
        [TD_FIELD_RTMR1] = { "rtmr1", 48, offsetof(TdQuote, rtmr[1]), true },
        [TD_FIELD_RTMR2] = { "rtmr2", 48, offsetof(TdQuote, rtmr[2]), true },
        [TD_FIELD_REPORT_DATA] = { "report_data", 64, offsetof(TdQuote, report_data), true },
        [TD_FIELD_RTMR3] = { "rtmr3", 48, offsetof(TdQuote, rtmr[3]), false },
        [TD_FIELD_MRCONFIGID] = { "mrconfigid", 48, offsetof(TdQuote, mrconfigid), false },
        [TD_FIELD_MROWNER] = { "mrowner", 48, offsetof(TdQuote, mrowner), false },
        [TD_FIELD_MROWNERCONFIG] = { "mrownerconfig", 48, offsetof(TdQuote, mrownerconfig), false },
        [TD_FIELD_MRSEAM] = { "mrseam", 48, offsetof(TdQuote, mrseam), false },
};
static_assert(ELEMENTSOF(fields) == _TD_FIELD_MAX, "every field has a row");

size_t td_field_size(TdField f) {
        assert(f >= 0 && f < _TD_FIELD_MAX);
        return fields[f].size;
}

const uint8_t *td_field_bytes(const TdQuote *q, TdField f) {
        assert(f >= 0 && f < _TD_FIELD_MAX);
        return (const uint8_t *) q + fields[f].offset;
}

const char *td_field_to_string(TdField f) {
        return f >= 0 && f < _TD_FIELD_MAX ? fields[f].name : NULL;
}

TdField td_field_from_string(const char *s) {
        for (int f = 0; f < _TD_FIELD_MAX; f++)
                if (streq(s, fields[f].name))
                        return (TdField) f;
        return _TD_FIELD_INVALID;
}

void td_policy_init(TdPolicy *p) {
        *p = (TdPolicy) { .statuses = 1u << TD_STATUS_UP_TO_DATE };
        for (int f = 0; f < _TD_FIELD_MAX; f++)
                p->bytes[f].rule = fields[f].required ? SNP_RULE_UNSET : SNP_RULE_ANY;
}

void td_policy_done(TdPolicy *p) {
        FOREACH_ARRAY(b, p->bytes, ELEMENTSOF(p->bytes))
                free(b->values);
        *p = (TdPolicy) {};
}

/* Never both, or the order of options would decide. */
static int say_which(TdField f, char **reterr) {
        return error_set(reterr, -EINVAL, "%s is both expected and waived (insecure, any): use one of them",
                        fields[f].name);
}

int td_policy_accept(TdPolicy *p, TdField f, const uint8_t *value, char **reterr) {
        SnpBytesRule *b = p->bytes + f;
        size_t n = td_field_size(f);
        uint8_t *values;

        if (fields[f].required && b->rule == SNP_RULE_ANY)
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

int td_policy_waive(TdPolicy *p, TdField f, char **reterr) {
        if (f == TD_FIELD_MEASUREMENT || f == TD_FIELD_REPORT_DATA)
                return error_set(reterr, -EINVAL, "'any' is not allowed; use insecure_any_%s instead",
                                fields[f].name);
        if (p->bytes[f].n_values > 0)
                return say_which(f, reterr);
        p->bytes[f].rule = SNP_RULE_ANY;
        return 0;
}

void td_policy_accept_any_measurement_acknowledging_forgery(TdPolicy *p) {
        for (int f = TD_FIELD_MEASUREMENT; f <= TD_FIELD_RTMR2; f++)
                if (f == TD_FIELD_MEASUREMENT || p->bytes[f].n_values == 0)
                        p->bytes[f].rule = SNP_RULE_ANY;
}

void td_policy_accept_any_report_data_acknowledging_replay(TdPolicy *p) {
        p->bytes[TD_FIELD_REPORT_DATA].rule = SNP_RULE_ANY;
}

int td_policy_accept_status(TdPolicy *p, const char *status, char **reterr) {
        TdStatus s = td_status_from_string(status);

        if (s < 0 || s == TD_STATUS_NOT_SUPPORTED || s == TD_STATUS_REVOKED)
                return error_set(reterr, -EINVAL, "expected %s, not '%s'", values_text(TD_STATUS_NAMES).text,
                                status);
        p->statuses |= 1u << s;
        return 0;
}

int td_policy_accept_xfam(TdPolicy *p, const char *text, char **reterr) {
        uint64_t value;

        if (streq(text, "any"))
                return p->n_xfam > 0
                                ? error_set(reterr, -EINVAL,
                                                  "xfam is both expected and waived (any): use one of them")
                                : 0;
        if (!startswith(text, "0x") || parse_u64(text, &value) < 0)
                return error_set(reterr, -EINVAL, "expected a number such as 0x602e7, or any, not '%s'",
                                text);
        if (p->n_xfam >= TD_XFAM_MAX)
                return error_set(reterr, -E2BIG, "more than %u values for xfam", TD_XFAM_MAX);
        p->xfam[p->n_xfam++] = value;
        return 0;
}

int td_policy_decided(const TdPolicy *p, char **reterr) {
        if (p->bytes[TD_FIELD_MEASUREMENT].rule == SNP_RULE_UNSET)
                return error_set(reterr, -EINVAL,
                                "no expected measurement (MRTD): give --measurement or a policy file, or waive it with --insecure-any-measurement");
        for (int f = TD_FIELD_RTMR0; f <= TD_FIELD_RTMR2; f++)
                if (p->bytes[f].rule == SNP_RULE_UNSET)
                        return error_set(reterr, -EINVAL,
                                        "no expected %s: MRTD covers the firmware only; give --expect=%s:HEX or a policy file, or waive it with --expect=%s:any",
                                        fields[f].name, fields[f].name, fields[f].name);
        if (p->bytes[TD_FIELD_REPORT_DATA].rule == SNP_RULE_UNSET)
                return error_set(reterr, -EINVAL,
                                "no expected report data: give --report-data, --bound-to or a policy file, or waive it with --insecure-any-report-data");
        for (int f = 0; f < _TD_FIELD_MAX; f++)
                if (p->bytes[f].rule == SNP_RULE_UNSET)
                        return error_set(reterr, -EINVAL, "no rule is set for %s", fields[f].name);
                else if (p->bytes[f].rule == SNP_RULE_ANY && p->bytes[f].n_values > 0)
                        return say_which((TdField) f, reterr);
        return p->statuses != 0 ? 0 : error_set(reterr, -EINVAL, "a policy that was not initialised");
}

int td_policy_waived(const TdPolicy *p, Json **ret) {
        const struct {
                const char *name;
                bool waived;
        } rules[] = {
                { "debug", p->allow_debug }, { "migration_agent", p->allow_migration },
                { "host_credentials", p->allow_host_credentials },
                { "minimum_tcb_evaluation_number", p->evaluation == 0 }, { "xfam", p->n_xfam == 0 },
                { "mrservicetd", true }, /* nothing looks at it */
        };
        _cleanup_js_ Json *a = js_array();
        int k = a ? 0 : -ENOMEM;

        for (int f = 0; k == 0 && f < _TD_FIELD_MAX; f++)
                if (p->bytes[f].rule == SNP_RULE_ANY)
                        k = js_append(a, js_string(fields[f].name));
        for (size_t i = 0; k == 0 && i < ELEMENTSOF(rules); i++)
                if (rules[i].waived)
                        k = js_append(a, js_string(rules[i].name));
        if (k == 0)
                *ret = TAKE_PTR(a);
        return k;
}
