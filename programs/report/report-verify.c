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

/* One report: what is asked of it, what it is judged by, and the answer. */
typedef struct Judgement {
        SnpPolicy policy;
        SnpTrust trust;
        SnpCollateral pool;
        ReportFile file;
        SnpResult result;
        SnpViolations violations;
        const SnpReference *match; /* the row of a reference table, or NULL */
} Judgement;

static void judgement_done(Judgement *v) {
        snp_violations_done(&v->violations);
        snp_result_done(&v->result);
        report_file_done(&v->file);
        snp_collateral_done(&v->pool);
        snp_trust_done(&v->trust);
        snp_policy_done(&v->policy);
}

static int fill_pool(const ReportArguments *a, const ReportFile *f, SnpCollateral *pool, char **reterr) {
        _cleanup_free_ char *why = NULL;
        SnpCertTable t;
        int r;

        r = report_collect_files(a, pool, reterr);
        if (r < 0)
                return r;
        r = snp_collateral_add_table(pool, &f->evidence.table, "the report's certificate table");
        if (r < 0 || f->table_size == 0)
                return r;
        if (snp_cert_table_decode(f->table, f->table_size, &t, &why) == 0)
                return snp_collateral_add_table(pool, &t, "auxblob");
        log_warning("auxblob is not a certificate table (%s), ignoring", why ?: "?");
        return 0;
}

static int verify_and_fetch(
                const ReportArguments *a, const SnpVerifyInput *in, SnpResult *ret, char **reterr) {
        _cleanup_(report_network_done) ReportNetwork network = {};
        int r = report_network_init(&network, a, in->now, reterr);

        return r < 0 ? r : snp_kds_verify(&network.kds, in, ret);
}

static int decide(const ReportArguments *a, const char *path, Judgement *v, char **reterr) {
        SnpVerifyInput in = {
                .trust = &v->trust, .collateral = &v->pool, .generation = _SNP_GENERATION_INVALID
        };
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
                r = report_trust_root(&v->trust, a->insecure_root, &v->pool, reterr);
                if (r < 0)
                        return r;
        }
        r = report_file_read(path, &v->file, reterr);
        if (r < 0)
                return r;
        r = fill_pool(a, &v->file, &v->pool, reterr);
        if (r < 0)
                return r;

        in.report = v->file.evidence.report;
        in.report_size = v->file.evidence.report_size;
        r = verify_and_fetch(a, &in, &v->result, reterr);
        if (r < 0 || !v->result.authentic)
                return r;
        return snp_policy_judge(&v->policy, &v->result, &v->violations, reterr);
}

static bool is_violated(const SnpViolations *v, const char *rule) {
        FOREACH_ARRAY(x, v->list, v->n)
                if (streq(x->rule, rule))
                        return true;
        return false;
}

/* Why the measurement differs, as far as measure can find out by trying; a help, not a verdict. As JSON or text; NULL if it has
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
        _cleanup_(snp_references_done) SnpReferences refs = {};
        char *const *launch = NULL;
        int r;

        snp_policy_init(&v.policy);
        snp_trust_init(&v.trust);
        r = crypto_init_terse();
        if (r < 0)
                return r;
        if (!words[0])
                return error_set(reterr, -EINVAL, "verify: expected one report, see --help");
        if (words[1] && words[1][0] != '-')
                return error_set(reterr, -EINVAL,
                                "verify: expected one report, but got a second argument '%s'; put options that describe the launch after --",
                                words[1]);
        if (words[1])
                launch = words + 1;
        r = report_policy(a, launch, &v.policy, &refs, reterr);
        if (r < 0)
                return r;
        r = decide(a, words[0], &v, reterr);
        if (r < 0)
                return r;
        v.match = v.result.authentic ? snp_references_find(&refs, v.result.report.measurement) : NULL;
        r = print_judgement(&v, launch, &a->common);
        return r < 0 ? r : verdict_exit_status(v.result.verdict);
}
