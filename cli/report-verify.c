/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto-init.h"
#include "encode.h"
#include "error.h"
#include "input.h"
#include "log.h"
#include "measure-child.h"
#include "report.h"
#include "snp-policy.h"
#include "snp-result.h"
#include "strutil.h"

typedef struct Judgement {
        SnpPolicy policy;
        SnpResult result;
        SnpViolations violations;
        const SnpReference *match; /* the row of a reference table, or NULL */
} Judgement;

static void judgement_done(Judgement *v) {
        snp_violations_done(&v->violations);
        snp_result_done(&v->result);
        snp_policy_done(&v->policy);
}

static int trust_test_root(SnpTrust *t, const char *path, char **reterr) {
        _cleanup_(snp_collateral_done) SnpCollateral c = {};
        _cleanup_free_ char *data = NULL;
        bool found = false;
        size_t size;
        int r;

        r = input_read("insecure-root", path, CERTIFICATE_SIZE_MAX * 4, &data, &size, reterr);
        if (r < 0)
                return r;
        r = snp_collateral_add(&c, data, size, path, /* named= */ false, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--insecure-root: %s", path);
        for (size_t i = 0; i < c.n_certificates; i++)
                if (c.certificates[i]->role == SNP_ROLE_ARK) {
                        r = snp_trust_insecure_acknowledging_forgery(
                                        t, c.certificates[i]->certificate, reterr);
                        if (r < 0)
                                return r;
                        found = true;
                }
        return found ? 0
                     : error_set(reterr, -EINVAL, "--insecure-root: there is no root certificate in '%s'",
                                       path);
}

static int fill_pool(const ReportArguments *a, const ReportFile *f, SnpCollateral *pool, char **reterr) {
        _cleanup_free_ char *why = NULL;
        SnpCertTable t;
        int r;

        r = report_collect_files(a, pool, reterr);
        if (r < 0)
                return r;
        if (a->insecure_root) {
                char *ca[] = { a->insecure_root, NULL };

                r = report_collect_files(&(ReportArguments) { .ca = ca }, pool, reterr);
                if (r < 0)
                        return r;
        }
        r = snp_collateral_add_table(pool, &f->evidence.table, "the report's certificate table");
        if (r < 0 || f->table_size == 0)
                return r;
        if (snp_cert_table_decode(f->table, f->table_size, &t, &why) == 0)
                return snp_collateral_add_table(pool, &t, "auxblob");
        log_warning("auxblob is no certificate table (%s), ignoring", why ?: "?");
        return 0;
}

static int verify_and_fetch(
                const ReportArguments *a, const SnpVerifyInput *in, SnpResult *ret, char **reterr) {
        _cleanup_(report_network_done) ReportNetwork network = {};
        int r = report_network_init(&network, a, in->now, reterr);

        return r < 0 ? r : snp_kds_verify(&network.kds, in, ret);
}

static int refuse(SnpResult *result, SnpStep step, const char *sentence) {
        *result = (SnpResult) {
                .verdict = VERDICT_NOT_AUTHENTIC,
                .step = step,
                .generation = _SNP_GENERATION_INVALID,
                .sentence = strdup(sentence),
        };
        return result->sentence ? 0 : -ENOMEM;
}

static int decide(const ReportArguments *a, const char *path, const SnpPolicy *policy, SnpTrust *trust,
                SnpCollateral *pool, ReportFile *f, SnpResult *result, SnpViolations *violations,
                char **reterr) {
        SnpVerifyInput in = { .trust = trust, .collateral = pool, .generation = _SNP_GENERATION_INVALID };
        _cleanup_free_ char *why = NULL;
        int r;

        r = report_time(a->time, &in.now, reterr);
        if (r < 0)
                return r;
        r = report_generation(a, &in.generation, reterr);
        if (r < 0)
                return r;
        if (a->crl) {
                in.crl = snp_crl_mode_from_string(a->crl);
                if (in.crl < 0)
                        return error_set(reterr, -EINVAL,
                                        "--crl: expected off, if-available or required, not '%s'", a->crl);
        }
        if (a->insecure_root) {
                r = trust_test_root(trust, a->insecure_root, reterr);
                if (r < 0)
                        return r;
        }
        r = report_file_read(path, f, reterr);
        if (r < 0)
                return r;
        if (!f->readable)
                return refuse(result, SNP_STEP_LAYOUT, f->complaint ?: "not a report");
        r = fill_pool(a, f, pool, &why);
        if (r == -EBADMSG)
                return refuse(result, SNP_STEP_LEAF, why ?: "a certificate cannot be read");
        if (r < 0)
                return error_set(reterr, r, "%s", why ?: strerror(-r));

        in.report = f->evidence.report;
        in.report_size = f->evidence.report_size;
        r = verify_and_fetch(a, &in, result, reterr);
        if (r < 0 || !result->authentic)
                return r;
        return snp_policy_judge(policy, result, violations, reterr);
}

static bool is_violated(const SnpViolations *v, const char *rule) {
        FOREACH_ARRAY(x, v->list, v->n)
                if (streq(x->rule, rule))
                        return true;
        return false;
}

/* Why the measurement is another one, as far as measure can tell by trying; a help, not a verdict. In JSON or words; NULL if it has
 * nothing to say. */
static int explain_measurement(const SnpResult *result, char *const *launch, bool json, char **ret) {
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_free_ char *hex = NULL, *text = NULL;
        int status, r;

        hex = hex_encode(result->report.measurement, sizeof(result->report.measurement));
        if (!hex)
                return -ENOMEM;
        r = strv_copy(launch, &words);
        if (r == 0)
                r = strv_pushf(&words, "--expect=%s", hex);
        if (r == 0 && json)
                r = strv_push(&words, "--json=short");
        if (r < 0)
                return r;
        if (measure_child(words, &text, &status, NULL) == 0 && text[0])
                *ret = TAKE_PTR(text);
        return 0;
}

static int print_json(const Judgement *v, const char *explanation, JsStyle style) {
        _cleanup_js_ Json *j = NULL, *parsed = NULL;
        int r;

        r = snp_result_json(&v->result, &v->policy, &v->violations, &j);
        if (r == 0)
                r = js_set(j, "reference", js_string(v->match ? v->match->text : NULL));
        if (r == 0 && explanation && js_parse(explanation, strlen(explanation), &parsed, NULL) == 0)
                r = js_set(j, "explanation", TAKE_PTR(parsed));
        return r < 0 ? r : verb_print_json(j, style);
}

/* The verdict is the last line, whatever else there is to say. */
static int print_judgement(const Judgement *v, char *const *launch, const VerbCommon *common) {
        _cleanup_free_ char *text = NULL, *explanation = NULL;
        int r = 0;

        if (launch && is_violated(&v->violations, "measurement"))
                r = explain_measurement(&v->result, launch, common->json, &explanation);
        if (r < 0)
                return r;
        if (common->json)
                return print_json(v, explanation, common->style);
        if (explanation)
                printf("%s\n", explanation);
        if (v->match)
                printf("  reference: %s\n", v->match->text);
        r = snp_result_text(&v->result, &v->policy, &v->violations, &text);
        if (r < 0)
                return r;
        return fputs(text, stdout) < 0 ? -EIO : 0;
}

int report_verify(const ReportArguments *a, char **words, char **reterr) {
        _cleanup_(judgement_done) Judgement v = {};
        _cleanup_(snp_collateral_done) SnpCollateral pool = {};
        _cleanup_(report_file_done) ReportFile f = {};
        _cleanup_(snp_references_done) SnpReferences refs = {};
        _cleanup_(snp_trust_done) SnpTrust trust;
        char *const *launch = NULL;
        int r;

        crypto_init_terse();
        snp_policy_init(&v.policy);
        snp_trust_init(&trust);
        if (!words[0])
                return error_set(reterr, -EINVAL, "verify: expected one report, see --help");
        if (words[1] && words[1][0] != '-')
                return error_set(reterr, -EINVAL,
                                "verify: expected one report, and '%s' is another argument; the options "
                                "that describe the launch stand behind --",
                                words[1]);
        if (words[1])
                launch = words + 1;
        r = report_policy(a, launch, &v.policy, &refs, reterr);
        if (r < 0)
                return r;
        r = decide(a, words[0], &v.policy, &trust, &pool, &f, &v.result, &v.violations, reterr);
        if (r < 0)
                return r;
        v.match = v.result.authentic ? snp_references_find(&refs, v.result.report.measurement) : NULL;
        r = print_judgement(&v, launch, &a->common);
        return r < 0 ? r : verdict_exit_status(v.result.verdict);
}
