/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-result.h"

#include <errno.h>
#include <time.h>

#include "bytes.h"
#include "encode.h"
#include "strutil.h"

static const char *const step_names[] = {
        [SNP_STEP_LAYOUT] = "layout",
        [SNP_STEP_KEY] = "key",
        [SNP_STEP_GENERATION] = "generation",
        [SNP_STEP_COLLATERAL] = "collateral",
        [SNP_STEP_ROOT] = "root",
        [SNP_STEP_INTERMEDIATE] = "intermediate",
        [SNP_STEP_LEAF] = "leaf",
        [SNP_STEP_VALIDITY] = "validity",
        [SNP_STEP_REVOCATION] = "revocation",
        [SNP_STEP_EXTENSIONS] = "extensions",
        [SNP_STEP_TCB] = "tcb",
        [SNP_STEP_CHIP] = "chip",
        [SNP_STEP_SIGNATURE] = "signature",
        [SNP_STEP_POLICY] = "policy",
};
static_assert(ELEMENTSOF(step_names) == _SNP_STEP_MAX, "every step has a name");

static const char *const crl_names[] = {
        [SNP_CRL_IF_AVAILABLE] = "if-available",
        [SNP_CRL_OFF] = "off",
        [SNP_CRL_REQUIRED] = "required",
};
static_assert(ELEMENTSOF(crl_names) == _SNP_CRL_MODE_MAX, "every mode has a name");

const char *snp_step_to_string(SnpStep s) {
        return s >= 0 && s < _SNP_STEP_MAX ? step_names[s] : NULL;
}

const char *snp_crl_mode_to_string(SnpCrlMode m) {
        return m >= 0 && m < _SNP_CRL_MODE_MAX ? crl_names[m] : NULL;
}

SnpCrlMode snp_crl_mode_from_string(const char *s) {
        for (int m = 0; m < _SNP_CRL_MODE_MAX; m++)
                if (streq(s, crl_names[m]))
                        return (SnpCrlMode) m;
        return _SNP_CRL_MODE_INVALID;
}

static void put_date(Text *t, int64_t when) {
        time_t clock = (time_t) when;
        char s[32] = "?";
        struct tm tm;

        if (gmtime_r(&clock, &tm))
                (void) strftime(s, sizeof(s), "%Y-%m-%d", &tm);
        text_put(t, s);
}

static int put_leaf(Text *t, const SnpResult *r) {
        const SnpLeaf *leaf = &r->leaf->leaf;
        _cleanup_free_ char *tcb = snp_tcb_text(&leaf->tcb, r->generation);

        if (!tcb)
                return -ENOMEM;
        text_putf(t, "       leaf: %s %s, valid until ", snp_role_to_string(leaf->role), leaf->product);
        put_date(t, r->leaf->certificate->not_after);
        text_putf(t, ", from %s\n", r->leaf->origin);
        if (leaf->csp_id[0])
                text_putf(t, "   provider: %s\n", leaf->csp_id);
        text_putf(t, "        TCB: %s\n", tcb);
        return 0;
}

static int put_waived(Text *t, const SnpPolicy *p) {
        _cleanup_js_ Json *waived = NULL;
        int r = snp_policy_waived(p, &waived);

        if (r < 0)
                return r;
        /* A list, what binds a report to a guest and to a conversation first. */
        text_put(t, "not checked:");
        for (size_t i = 0; i < js_length(waived); i++)
                text_putf(t, "%s %s", i > 0 ? "," : "", js_string_value(js_at(waived, i)));
        text_put(t, "\n");
        return 0;
}

/* What the leaf proves about the machine. */
static void put_chip(Text *t, const SnpResult *r) {
        if (r->leaf->role == SNP_ROLE_VLEK)
                text_put(t, "       chip: not bound to a chip: a VLEK belongs to the cloud provider\n");
        else if (bytes_are_zero(r->report.chip_id, sizeof(r->report.chip_id)))
                text_put(t, "       chip: not bound to a chip: the host masks CHIP_ID (MASK_CHIP_ID), so the leaf could not be compared with it\n");
}

const SnpAdvisory *snp_result_advisory(const SnpResult *r, const SnpPolicy *p, size_t *i) {
        size_t n;
        const SnpAdvisory *list = snp_advisories(&n);

        while (r->authentic && *i < n) {
                const SnpAdvisory *a = list + (*i)++;

                if (a->generation == r->generation && !strv_contains(p->acknowledged, a->name))
                        return a;
        }
        return NULL;
}

static void put_advisories(Text *t, const SnpResult *r, const SnpPolicy *p) {
        const SnpAdvisory *a;

        for (size_t i = 0; (a = snp_result_advisory(r, p, &i));)
                text_putf(t, "    warning: %s: %s (%s)\n", a->name, a->text, a->published);
}

int snp_result_text(const SnpResult *r, const SnpPolicy *p, const Violations *v, char **ret) {
        _cleanup_(text_done) Text t = {};
        int k = 0;

        if (r->decoded)
                text_putf(&t, "     report: version %u%s%s%s, VMPL %u, signed by the %s\n",
                                r->report.version,
                                r->report.version > SNP_REPORT_VERSION_MAX ? " (not known here)" : "",
                                r->generation >= 0 ? ", " : "",
                                r->generation >= 0 ? snp_generation_product(r->generation) : "",
                                r->report.vmpl,
                                r->report.signing_key == SNP_SIGNING_KEY_VLEK ? "VLEK" : "VCEK");
        if (r->authentic) {
                k = put_leaf(&t, r);
                if (k < 0)
                        return k;
                text_putf(&t, "       root: ARK-%s, %s\n", snp_generation_product(r->generation),
                                r->insecure_root ? "NOT AMD'S: a test key" : "AMD's key, as compiled in");
                text_putf(&t, " revocation: %s%s\n", r->crl_note ? "not checked: " : "checked",
                                r->crl_note ?: "");
                put_chip(&t, r);
                put_advisories(&t, r, p);
                text_put(&t, "  signature: good\n");
                k = put_waived(&t, p);
                if (k < 0)
                        return k;
                violations_put(&t, v);
        }

        verdict_put(&t,
                        &(const VerdictText) { .verdict = r->verdict,
                                        .vendor = "AMD",
                                        .insecure_root = r->insecure_root,
                                        .step = snp_step_to_string(r->step),
                                        .sentence = r->sentence,
                                        .violations = v });
        return text_finish(&t, ret);
}

static int set_certificate(Json *o, const char *key, const SnpCertificate *c, SnpGeneration g) {
        _cleanup_js_ Json *x = js_object();
        uint8_t spki[SHA256_SIZE];
        int r;

        if (!x)
                return -ENOMEM;
        r = certificate_fingerprint(c->certificate, spki);
        if (r < 0)
                return r;
        if (js_set(x, "subject", js_string(c->certificate->common_name)) < 0 ||
                        js_set(x, "origin", js_string(c->origin)) < 0 ||
                        js_set(x, "sha256", js_hex(c->digest, sizeof(c->digest))) < 0 ||
                        js_set(x, "spki-sha256", js_hex(spki, sizeof(spki))) < 0 ||
                        js_set(x, "not-before",
                                        js_u64((uint64_t) MAX(c->certificate->not_before, (int64_t) 0))) <
                                        0 ||
                        js_set(x, "not-after",
                                        js_u64((uint64_t) MAX(c->certificate->not_after, (int64_t) 0))) < 0)
                return -ENOMEM;
        if (c->leaf_valid && g >= 0) {
                for (int p = 0; p < _SNP_TCB_PART_MAX; p++)
                        if (snp_generation_has_tcb_part(g, (SnpTcbPart) p) &&
                                        js_set(x, snp_tcb_part_to_string((SnpTcbPart) p),
                                                        js_u64(c->leaf.tcb.part[p])) < 0)
                                return -ENOMEM;
                if (js_set(x, "product", js_string(c->leaf.product)) < 0 ||
                                (c->leaf.hwid_size > 0 &&
                                                js_set(x, "hwid", js_hex(c->leaf.hwid, c->leaf.hwid_size)) <
                                                                0) ||
                                (c->leaf.csp_id[0] && js_set(x, "csp-id", js_string(c->leaf.csp_id)) < 0))
                        return -ENOMEM;
        }
        return js_set(o, key, TAKE_PTR(x));
}

static int set_advisories(Json *o, const SnpResult *r, const SnpPolicy *p) {
        _cleanup_js_ Json *list = js_array();
        const SnpAdvisory *a;
        int k = list ? 0 : -ENOMEM;

        for (size_t i = 0; k >= 0 && (a = snp_result_advisory(r, p, &i));) {
                Json *j = NULL;

                k = js_build(&j, "{s:s, s:s, s:s}", "name", a->name, "published", a->published, "text",
                                a->text);
                if (k >= 0)
                        k = js_append(list, j);
        }
        return k < 0 ? k : js_set(o, "advisories", TAKE_PTR(list));
}

int snp_result_json(const SnpResult *r, const SnpPolicy *p, const Violations *v, Json **ret) {
        _cleanup_js_ Json *o = js_object(), *report = NULL, *waived = NULL;
        int k;

        if (!o || js_set(o, "verdict", js_string(verdict_to_string(r->verdict))) < 0 ||
                        js_set(o, "authentic", js_bool(r->authentic)) < 0 ||
                        js_set(o, "step",
                                        r->verdict == VERDICT_VERIFIED
                                                        ? js_null()
                                                        : js_string(snp_step_to_string(r->step))) < 0 ||
                        js_set(o, "reason", js_string(r->sentence)) < 0 ||
                        js_set(o, "generation", js_string(snp_generation_to_string(r->generation))) < 0 ||
                        js_set(o, "root-is-amd", js_bool(r->authentic && !r->insecure_root)) < 0)
                return -ENOMEM;
        if (r->leaf) {
                k = set_certificate(o, "leaf", r->leaf, r->generation);
                if (k < 0)
                        return k;
        }
        if (r->intermediate) {
                k = set_certificate(o, "intermediate", r->intermediate, _SNP_GENERATION_INVALID);
                if (k < 0)
                        return k;
        }
        if (r->authentic) {
                if (js_set(o, "revocation", js_string(r->crl_note ?: "checked")) < 0 ||
                                js_set(o, "bound-to-chip",
                                                js_bool(!bytes_are_zero(r->report.chip_id,
                                                                sizeof(r->report.chip_id)))) < 0)
                        return -ENOMEM;
                k = snp_policy_waived(p, &waived);
                if (k == 0)
                        k = js_set(o, "not-checked", TAKE_PTR(waived));
                if (k == 0)
                        k = set_advisories(o, r, p);
                if (k == 0)
                        k = violations_json(o, v);
                if (k < 0)
                        return k;
        }
        if (r->decoded) {
                k = snp_report_json(&r->report, r->generation, &report);
                if (k == 0)
                        k = js_set(o, "report", TAKE_PTR(report));
                if (k < 0)
                        return k;
        }
        *ret = TAKE_PTR(o);
        return 0;
}
