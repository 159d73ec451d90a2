/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a quote says against what a policy wants, rule by rule. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "strutil.h"
#include "td-policy.h"

/* TD attributes that are known to leave the TD protected: LASS, SEPT_VE_DISABLE, PKS, KL, TPA, PERFMON (Intel 348551, ATTRIBUTES). MIGRATABLE has its rule. */
#define ATTRIBUTE_MIGRATABLE (UINT64_C(1) << 29)
#define ATTRIBUTES_GOOD                                                                                     \
        (UINT64_C(1) << 27 | TDX_ATTRIBUTE_SEPT_VE_DISABLE | TDX_ATTRIBUTE_PKS | UINT64_C(1) << 31 |        \
                        UINT64_C(1) << 62 | TDX_ATTRIBUTE_PERFMON)

static char *number(const char *format, uint64_t n) {
        char *s;

        return asprintf(&s, "%s%" PRIu64, format, n) < 0 ? NULL : s;
}

static char *bits(uint64_t n) {
        char *s;

        return asprintf(&s, "attributes 0x%" PRIx64, n) < 0 ? NULL : s;
}

static int check_bytes(const TdPolicy *p, const TdQuote *q, Violations *v) {
        for (int f = 0; f < _TD_FIELD_MAX; f++) {
                const SnpBytesRule *b = p->bytes + f;
                const uint8_t *got = td_field_bytes(q, (TdField) f);
                size_t n = td_field_size((TdField) f);
                bool found = false;
                int k;

                if (b->rule != SNP_RULE_SET)
                        continue;
                for (size_t i = 0; i < b->n_values; i++)
                        found = found || memcmp(b->values + i * n, got, n) == 0;
                if (found)
                        continue;
                k = violation_add(v, td_field_to_string((TdField) f),
                                b->n_values == 1 ? hex_encode(b->values, n)
                                                 : number("one of the accepted values: ", b->n_values),
                                hex_encode(got, n));
                if (k < 0)
                        return k;
        }
        return 0;
}

static int check_attributes(const TdPolicy *p, const TdQuote *q, Violations *v) {
        uint64_t a = q->attributes;
        bool debug = a & TDX_ATTRIBUTE_DEBUG;
        int k = 0;

        if (debug && !p->allow_debug)
                k = violation_add(v, "debug", strdup("a TD that its host cannot debug (DEBUG 0)"), bits(a));
        if (k == 0 && a & ATTRIBUTE_MIGRATABLE && !p->allow_migration)
                k = violation_add(v, "migration_agent",
                                strdup("a TD that no other TD may migrate (MIGRATABLE 0)"), bits(a));
        if (k == 0 && a & ~(ATTRIBUTES_GOOD | TDX_ATTRIBUTE_DEBUG | ATTRIBUTE_MIGRATABLE))
                k = violation_add(v, "attributes", strdup("no attribute that is unknown here"), bits(a));
        if (k == 0 && !(a & TDX_ATTRIBUTE_SEPT_VE_DISABLE) && !debug)
                k = violation_add(v, "attributes", strdup("SEPT_VE_DISABLE 1"), bits(a));
        return k;
}

static int check_xfam(const TdPolicy *p, const TdQuote *q, Violations *v) {
        char *expected, *got;
        int k = 0;

        for (size_t i = 0; i < p->n_xfam; i++)
                if (p->xfam[i] == q->xfam)
                        return 0;
        if (p->n_xfam == 0)
                return 0;
        if (asprintf(&got, "0x%" PRIx64, q->xfam) < 0)
                return -ENOMEM;
        if (p->n_xfam > 1)
                expected = number("one of the accepted values: ", p->n_xfam);
        else if (asprintf(&expected, "0x%" PRIx64, p->xfam[0]) < 0)
                expected = NULL;
        k = violation_add(v, "xfam", expected, got);
        return k;
}

static int check_tcb(const TdPolicy *p, const TdResult *r, Violations *v) {
        uint64_t tcb = r->tcb_info->tcb_info.evaluation, qe = r->qe_identity->qe.evaluation;
        _cleanup_(text_done) Text names = {};
        char *expected;
        int k = 0;

        if (!(p->statuses >> r->status & 1)) {
                for (int s = _TD_STATUS_MAX - 1; s >= 0; s--)
                        if (p->statuses >> s & 1)
                                text_putf(&names, "%s%s", names.size > 0 ? " or " : "",
                                                td_status_to_string((TdStatus) s));
                k = text_finish(&names, &expected);
                if (k == 0)
                        k = violation_add(v, "tcb_status", expected, strdup(td_status_to_string(r->status)));
        }
        if (k == 0 && MIN(tcb, qe) < p->evaluation)
                k = violation_add(v, "minimum_tcb_evaluation_number", number("at least ", p->evaluation),
                                number("", MIN(tcb, qe)));
        return k;
}

int td_policy_judge(const TdPolicy *p, TdResult *result, Violations *ret, char **reterr) {
        _cleanup_(violations_done) Violations v = {};
        const TdQuote *q = &result->quote;
        int k;

        if (!result->authentic || !result->tcb_info || !result->qe_identity)
                return error_set(reterr, -EINVAL, "the quote is not authentic: nothing to judge");
        k = td_policy_decided(p, reterr);
        if (k < 0)
                return k;
        k = check_bytes(p, q, &v);
        if (k == 0)
                k = check_attributes(p, q, &v);
        if (k == 0 && p->unshielded && !p->allow_host_credentials)
                k = violation_add(&v, "host_credentials",
                                strdup("a launch that ignores credentials of its host, or has them in a register that it pins (measure it again, or --allow-host-credentials)"),
                                strdup("a launch of which the reference does not say so"));
        if (k == 0)
                k = check_xfam(p, q, &v);
        if (k == 0)
                k = check_tcb(p, result, &v);
        if (k == 0 && !bytes_are_zero(q->rest.data, q->rest.size))
                k = violation_add(&v, "trailing_bytes", strdup("nothing, or zeros, after the quote"),
                                number("unsigned bytes: ", q->rest.size));
        if (k < 0)
                return k;

        result->verdict = v.n > 0 ? VERDICT_POLICY_NOT_MET : VERDICT_VERIFIED;
        *ret = TAKE_STRUCT(v, (Violations) {});
        return 0;
}
