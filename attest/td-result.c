/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "td-result.h"

#include <errno.h>
#include <string.h>

#include "date.h"
#include "encode.h"
#include "strutil.h"

static const char *const step_names[] = {
        [TD_STEP_LAYOUT] = "layout",
        [TD_STEP_CHAIN] = "chain",
        [TD_STEP_ROOT] = "root",
        [TD_STEP_VALIDITY] = "validity",
        [TD_STEP_REVOCATION] = "revocation",
        [TD_STEP_EXTENSIONS] = "extensions",
        [TD_STEP_QE_REPORT] = "qe-report",
        [TD_STEP_BINDING] = "binding",
        [TD_STEP_SIGNATURE] = "signature",
        [TD_STEP_COLLATERAL] = "collateral",
        [TD_STEP_QE_IDENTITY] = "qe-identity",
        [TD_STEP_MODULE] = "module",
        [TD_STEP_POLICY] = "policy",
};
static_assert(ELEMENTSOF(step_names) == _TD_STEP_MAX, "every step has a name");

const char *td_step_to_string(TdStep s) {
        return s >= 0 && s < _TD_STEP_MAX ? step_names[s] : NULL;
}

/* --- text ---------------------------------------------------------------------------------------------------------------- */

static void put_level(Text *t, const char *what, const TdLevel *l) {
        text_putf(t, "%11s: %s", what, td_status_to_string(l ? l->status : TD_STATUS_NOT_SUPPORTED));
        if (l)
                text_putf(t, " (level of %.10s)", l->date);
        STRV_FOREACH(a, l ? l->advisories : NULL)
                text_putf(t, "%s%s", a == l->advisories ? ", " : " ", *a);
        text_put(t, "\n");
}

static int put_authentic(Text *t, const TdResult *r, const TdPolicy *p, const Violations *v) {
        _cleanup_free_ char *fmspc = hex_encode(r->pck.fmspc, sizeof(r->pck.fmspc));
        _cleanup_js_ Json *waived = NULL;
        int k = fmspc ? td_policy_waived(p, &waived) : -ENOMEM;

        if (k < 0)
                return k;
        text_putf(t, "       leaf: PCK of the %s, FMSPC %s, valid until %.10s\n",
                        strstr(r->ca->common_name, "Processor") ? "Processor CA" : "Platform CA", fmspc,
                        date_text(r->leaf->not_after).text);
        text_putf(t, "       root: %s, %s\n", r->root->common_name,
                        r->insecure_root ? "NOT INTEL'S: a test key" : "Intel's key, as compiled in");
        text_putf(t, " revocation: %s%s\n", r->crl_note ? "not checked: " : "checked", r->crl_note ?: "");
        text_putf(t, " collateral: TCB info until %.10s (%s), QE identity until %.10s (%s)\n",
                        date_text(r->tcb_info->tcb_info.next).text, r->tcb_info->origin,
                        date_text(r->qe_identity->qe.next).text, r->qe_identity->origin);
        put_level(t, "platform", r->level);
        if (r->module->levels.n > 0)
                put_level(t, "TDX module", r->module_level);
        put_level(t, "enclave", r->qe_level);
        text_putf(t, " TCB status: %s\n", td_status_to_string(r->status));
        text_put(t, "  signature: good\n");
        text_put(t, "not checked:");
        for (size_t i = 0; i < js_length(waived); i++)
                text_putf(t, "%s %s", i > 0 ? "," : "", js_string_value(js_at(waived, i)));
        text_put(t, "\n");
        violations_put(t, v);
        return 0;
}

int td_result_text(const TdResult *r, const TdPolicy *p, const Violations *v, char **ret) {
        _cleanup_(text_done) Text t = {};
        int k = 0;

        if (r->decoded && r->quote.version > 0)
                text_putf(&t, "      quote: version %u of an Intel TDX guest%s\n", r->quote.version,
                                r->quote.td15 ? ", with the members of TDX 1.5" : "");
        if (r->authentic)
                k = put_authentic(&t, r, p, v);
        if (k < 0)
                return k;

        verdict_put(&t,
                        &(const VerdictText) { .verdict = r->verdict,
                                        .vendor = "Intel",
                                        .insecure_root = r->insecure_root,
                                        .step = td_step_to_string(r->step),
                                        .sentence = r->sentence,
                                        .violations = v });
        return text_finish(&t, ret);
}

/* --- JSON ---------------------------------------------------------------------------------------------------------------- */

static int set_level(Json *o, const char *key, const TdLevel *l) {
        Json *x = NULL;
        int r = js_build(
                        &x, "{s:s}", "status", td_status_to_string(l ? l->status : TD_STATUS_NOT_SUPPORTED));

        if (r >= 0 && l)
                r = js_set(x, "date", js_string(l->date));
        if (r >= 0 && l && l->advisories)
                r = js_set(x, "advisories", js_strv(l->advisories));
        if (r < 0) {
                js_unref(x);
                return r;
        }
        return js_set(o, key, x);
}

static int set_authentic(Json *o, const TdResult *r, const TdPolicy *p, const Violations *v) {
        _cleanup_js_ Json *waived = NULL;
        int k = td_policy_waived(p, &waived);

        if (k == 0)
                k = js_set(o, "revocation", js_string(r->crl_note ?: "checked"));
        if (k == 0)
                k = js_set(o, "fmspc", js_hex(r->pck.fmspc, sizeof(r->pck.fmspc)));
        if (k == 0)
                k = js_set(o, "pceid", js_hex(r->pck.pceid, sizeof(r->pck.pceid)));
        if (k == 0)
                k = js_set(o, "tcb-status", js_string(td_status_to_string(r->status)));
        if (k == 0)
                k = set_level(o, "platform", r->level);
        if (k == 0 && r->module->levels.n > 0)
                k = set_level(o, "tdx-module", r->module_level);
        if (k == 0)
                k = set_level(o, "quoting-enclave", r->qe_level);
        if (k == 0)
                k = js_set(o, "tcb-info-until", js_string(date_text(r->tcb_info->tcb_info.next).text));
        if (k == 0)
                k = js_set(o, "qe-identity-until", js_string(date_text(r->qe_identity->qe.next).text));
        if (k == 0)
                k = js_set(o, "not-checked", TAKE_PTR(waived));
        return k == 0 ? violations_json(o, v) : k;
}

int td_result_json(const TdResult *r, const TdPolicy *p, const Violations *v, Json **ret) {
        const char *step = r->verdict == VERDICT_VERIFIED ? NULL : td_step_to_string(r->step);
        _cleanup_js_ Json *o = js_object(), *quote = NULL;
        int k = o ? 0 : -ENOMEM;

        if (k == 0)
                k = js_set(o, "verdict", js_string(verdict_to_string(r->verdict)));
        if (k == 0)
                k = js_set(o, "authentic", js_bool(r->authentic));
        if (k == 0)
                k = js_set(o, "step", js_string(step));
        if (k == 0)
                k = js_set(o, "reason", js_string(r->sentence));
        if (k == 0)
                k = js_set(o, "root-is-intel", js_bool(r->authentic && !r->insecure_root));
        if (k == 0 && r->authentic)
                k = set_authentic(o, r, p, v);
        if (k == 0 && r->decoded)
                k = td_quote_json(&r->quote, &quote);
        if (k == 0 && quote)
                k = js_set(quote, "verified", js_bool(r->verdict == VERDICT_VERIFIED));
        if (k == 0 && quote)
                k = js_set(o, "quote", TAKE_PTR(quote));
        if (k == 0)
                *ret = TAKE_PTR(o);
        return k;
}
