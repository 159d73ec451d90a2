/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "input.h"
#include "log.h"
#include "measure-child.h"
#include "report-references.h"
#include "report-technology.h"
#include "report.h"
#include "snp-policy.h"
#include "snp-result.h"
#include "strutil.h"

/* SEV-SNP reports.
 *
 * One report: what it is judged by, and the answer. */
typedef struct Judgement {
        const char *path; /* weak */
        SnpPolicy policy; /* a copy: its lists are those of the policy that all reports share */
        SnpTrust trust;
        SnpCollateral pool;
        ReportFile file;
        SnpResult result;
        Violations violations;
        ReportMatch match;
} Judgement;

static void judgement_done(Judgement *v) {
        report_match_done(&v->match);
        violations_done(&v->violations);
        snp_result_done(&v->result);
        report_file_done(&v->file);
        snp_collateral_done(&v->pool);
        snp_trust_done(&v->trust);
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

static int decide(const ReportArguments *a, const ReportReferences *refs, Judgement *v, char **reterr) {
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
        r = report_crl_mode(a, &in.crl, reterr);
        if (r < 0)
                return r;
        if (a->insecure_root) {
                r = report_trust_root(&v->trust, a->insecure_root, &v->pool, reterr);
                if (r < 0)
                        return r;
        }
        r = report_file_read(v->path, &v->file, reterr);
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
        r = report_references_find(
                        refs, &v->result.report, v->result.generation, &v->policy, &v->match, reterr);
        return r < 0 ? r : snp_policy_judge(&v->policy, &v->result, &v->violations, reterr);
}

static bool is_violated(const Violations *v, const char *rule) {
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

static int answer_json(const Judgement *v, char *const *launch, Json **ret) {
        _cleanup_free_ char *explanation = NULL;
        _cleanup_js_ Json *j = NULL, *parsed = NULL;
        int r = 0;

        if (launch && is_violated(&v->violations, "measurement"))
                r = explain_measurement(&v->result, launch, /* json= */ true, &explanation);
        if (r >= 0)
                r = snp_result_json(&v->result, &v->policy, &v->violations, &j);
        if (r >= 0)
                r = js_set(j, "reference", js_string(v->match.text));
        if (r >= 0)
                r = js_set(j, "reference-floor", js_string(v->match.floor));
        if (r >= 0 && v->match.where.launch && v->match.where.launch->inputs)
                r = js_set(j, "reference-inputs", js_ref(v->match.where.launch->inputs));
        if (r >= 0)
                r = js_set(j, "nearest", js_string(v->match.nearest));
        if (r >= 0 && explanation && js_parse(explanation, strlen(explanation), &parsed, NULL) == 0)
                r = js_set(j, "explanation", TAKE_PTR(parsed));
        if (r >= 0)
                *ret = TAKE_PTR(j);
        return r;
}

/* The verdict is the last line, whatever else there is to say. */
static int answer_text(const Judgement *v, char *const *launch, char **ret) {
        _cleanup_free_ char *text = NULL, *explanation = NULL;
        _cleanup_(text_done) Text t = {};
        int r = 0;

        if (launch && is_violated(&v->violations, "measurement"))
                r = explain_measurement(&v->result, launch, /* json= */ false, &explanation);
        if (r < 0)
                return r;
        if (explanation)
                text_putf(&t, "%s\n", explanation);
        if (v->match.text)
                text_putf(&t, "  reference: %s\n", v->match.text);
        if (v->match.floor)
                text_putf(&t, "   expected: %s\n", v->match.floor);
        if (v->match.nearest)
                text_putf(&t, "    nearest: %s\n", v->match.nearest);
        r = snp_result_text(&v->result, &v->policy, &v->violations, &text);
        if (r < 0)
                return r;
        text_put(&t, text);
        return text_finish(&t, ret);
}

/* The verdict in an attestation result. */
static int answer_ear(const Judgement *v, const ReportAnswer *answer) {
        SnpEarVector vector;
        int r;

        if (v->result.sentence)
                log_notice("'%s': %s", v->path,
                                v->result.sentence); /* an attestation result gives no reason */
        snp_ear_vector(&v->result, &v->policy, &v->violations, &vector);
        r = report_ear_add(answer->ear, answer->name, &vector, &v->match);
        return r < 0 || !answer->evidence ? r : report_ear_evidence(answer->ear, &v->file);
}

typedef struct Shared {
        const ReportArguments *arguments;
        char *const *launch; /* or NULL */
        SnpPolicy policy;
        ReportReferences references;
} Shared;

static void snp_end(void *shared) {
        Shared *s = shared;

        if (!s)
                return;
        report_references_done(&s->references);
        snp_policy_done(&s->policy);
        free(s);
}

static int snp_start(const ReportArguments *a, char *const *launch, void **ret, char **reterr) {
        Shared *s = calloc(1, sizeof(Shared));
        int r;

        if (!s)
                return -ENOMEM;
        s->arguments = a;
        s->launch = launch;
        snp_policy_init(&s->policy);
        r = report_policy(a, launch, &s->policy, &s->references, reterr);
        if (r < 0)
                snp_end(s);
        else
                *ret = s;
        return r;
}

static int snp_judge(void *shared, const char *path, ReportAnswer *ret, char **reterr) {
        Shared *s = shared;
        _cleanup_(judgement_done) Judgement v = { .path = path, .policy = s->policy };
        int r;

        snp_trust_init(&v.trust);
        r = decide(s->arguments, &s->references, &v, reterr);
        if (r < 0)
                return r;
        ret->verdict = v.result.verdict;
        if (ret->ear)
                return answer_ear(&v, ret);
        return s->arguments->common.json || s->arguments->html ? answer_json(&v, s->launch, &ret->json)
                                                               : answer_text(&v, s->launch, &ret->text);
}

static const ReportOption foreign[] = {
        { "pcs", offsetof(ReportArguments, pcs_url) },
        { "collateral", offsetof(ReportArguments, collateral) },
        { "expect", offsetof(ReportArguments, expect) },
        { "tcb-status", offsetof(ReportArguments, tcb_status) },
        {},
};

const ReportTechnology report_technology_snp = {
        .name = "sev-snp",
        .evidence = "SEV-SNP reports",
        .ear = "SEV-SNP",
        .html = true,
        .foreign = foreign,
        .start = snp_start,
        .judge = snp_judge,
        .end = snp_end,
};
