/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "report.h"
#include "snp-policy.h"
#include "snp-result.h"
#include "strutil.h"

#define POLICY_FILE_MAX (4u * 1024u * 1024u)
#define BOUND_FILE_MAX  (64u * 1024u * 1024u)
#define ROUNDS_MAX      4 /* leaf, chain and revocation list: three fetches at most lie between two verdicts */

/* Hex, or the base64 that some tools print. */
static int accept_text(SnpPolicy *p, SnpBytesField f, const char *option, const char *s, char **reterr) {
        _cleanup_free_ uint8_t *decoded = NULL;
        uint8_t value[64];
        size_t n;

        if (hex_decode_exact(s, value, snp_field_size(f)) == 0)
                return snp_policy_accept(p, f, value, reterr);
        if (base64_decode(s, strlen(s), &decoded, &n) == 0 && n == snp_field_size(f))
                return snp_policy_accept(p, f, decoded, reterr);
        return error_set(reterr, -EINVAL, "--%s: expected %zu bytes in hex (%zu digits) or base64, not '%s'",
                        option, snp_field_size(f), 2 * snp_field_size(f), s);
}

static int accept_list(SnpPolicy *p, SnpBytesField f, const char *option, char **list, char **reterr) {
        STRV_FOREACH(s, list) {
                int r = accept_text(p, f, option, *s, reterr);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int accept_bound(SnpPolicy *p, const char *path, char **reterr) {
        uint8_t digest[SHA512_SIZE];
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        r = file_read_all(path, BOUND_FILE_MAX, &data, &size);
        if (r < 0)
                return error_set(reterr, r, "--bound-to: cannot read '%s': %s", path, strerror(-r));
        r = hash_digest(HASH_SHA512, data, size, digest);
        if (r < 0)
                return r;
        return snp_policy_accept(p, SNP_FIELD_REPORT_DATA, digest, reterr);
}

static int read_policy_file(SnpPolicy *p, const char *path, char **reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        size_t size;
        int r;

        r = file_read_all(path, POLICY_FILE_MAX, &text, &size);
        if (r < 0)
                return error_set(reterr, r, "--policy: cannot read '%s': %s", path, strerror(-r));
        r = js_parse(text, size, &j, reterr);
        if (r == 0)
                r = snp_policy_read(j, p, reterr);
        return r < 0 ? error_prefix(reterr, r, "%s", path) : 0;
}

static int set_vmpl(SnpPolicy *p, const char *s, char **reterr) {
        uint64_t v;

        if (streq(s, "any")) {
                p->vmpl.rule = SNP_RULE_ANY;
                return 0;
        }
        if (parse_u64_max(s, 3, &v) < 0)
                return error_set(reterr, -EINVAL, "--vmpl: expected 0, 1, 2, 3 or any, not '%s'", s);
        p->vmpl = (SnpNumberRule) { SNP_RULE_SET, v };
        return 0;
}

/* The policy file first, then the options on top. */
static int build_policy(const ReportArguments *a, SnpPolicy *p, char **reterr) {
        int r = 0;

        if (a->any_measurement && (a->measurements || a->references))
                return error_set(reterr, -EINVAL,
                                "--insecure-any-measurement together with an expected measurement: say "
                                "which");
        if (a->any_report_data && (a->report_data || a->bound_to))
                return error_set(reterr, -EINVAL,
                                "--insecure-any-report-data together with expected report data: say which");
        if (a->report_data && a->bound_to)
                return error_set(reterr, -EINVAL,
                                "--report-data and --bound-to both say what the report data is");
        if (a->policy)
                r = read_policy_file(p, a->policy, reterr);
        if (r == 0)
                r = accept_list(p, SNP_FIELD_MEASUREMENT, "measurement", a->measurements, reterr);
        if (r == 0)
                r = accept_list(p, SNP_FIELD_REPORT_DATA, "report-data", a->report_data, reterr);
        if (r == 0)
                r = accept_list(p, SNP_FIELD_HOST_DATA, "host-data", a->host_data, reterr);
        if (r == 0 && a->bound_to)
                r = accept_bound(p, a->bound_to, reterr);
        if (r == 0 && a->vmpl)
                r = set_vmpl(p, a->vmpl, reterr);
        if (r < 0)
                return r;
        p->allow_debug = p->allow_debug || a->allow_debug;
        if (a->any_measurement)
                snp_policy_accept_any_measurement_acknowledging_forgery(p);
        if (a->any_report_data)
                snp_policy_accept_any_report_data_acknowledging_replay(p);
        return snp_policy_decided(p, reterr);
}

static int trust_test_root(SnpTrust *t, const char *path, char **reterr) {
        _cleanup_(snp_collateral_done) SnpCollateral c = {};
        _cleanup_free_ char *data = NULL;
        bool found = false;
        size_t size;
        int r;

        r = file_read_all(path, CERTIFICATE_SIZE_MAX * 4, &data, &size);
        if (r < 0)
                return error_set(reterr, r, "--insecure-root: cannot read '%s': %s", path, strerror(-r));
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
        if (r == 0 && f->table && snp_cert_table_decode(f->table, f->table_size, &t, NULL) == 0)
                r = snp_collateral_add_table(pool, &t, "auxblob");
        return r;
}

/* Verifies, fetches what is missing, and verifies again until there is a verdict or nothing more to be had. */
static int verify_and_fetch(const ReportArguments *a, SnpVerifyInput *in, SnpResult *ret, char **reterr) {
        _cleanup_(report_network_done) ReportNetwork network = {};
        int r;

        r = report_network_init(&network, a, in->now, reterr);
        if (r < 0)
                return r;
        for (unsigned round = 0;; round++) {
                _cleanup_free_ char *why = NULL;

                r = snp_verify(in, ret);
                if (r < 0 || ret->verdict != VERDICT_COLLATERAL_UNAVAILABLE || round == ROUNDS_MAX)
                        return r;
                r = report_network_complete(&network, a, ret, in->collateral, &why);
                if (r == -ENOMEM)
                        return r;
                if (r < 0) {
                        char *both = NULL;

                        if (why && asprintf(&both, "%s; %s", ret->sentence ?: "", why) < 0)
                                return -ENOMEM;
                        if (both) {
                                free(ret->sentence);
                                ret->sentence = both;
                        }
                        return 0;
                }
                snp_result_done(ret);
        }
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
        if (a->generation) {
                in.generation = snp_generation_from_string(a->generation);
                if (in.generation < 0)
                        return error_set(reterr, -EINVAL,
                                        "--generation: expected milan, genoa, turin or venice, not '%s'",
                                        a->generation);
        }
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

static int print_result(const SnpResult *result, const SnpPolicy *policy, const SnpViolations *violations,
                bool json, JsStyle style) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        int r;

        if (json) {
                r = snp_result_json(result, policy, violations, &j);
                return r < 0 ? r : report_print_json(j, style);
        }
        r = snp_result_text(result, policy, violations, &text);
        if (r < 0)
                return r;
        return fputs(text, stdout) < 0 || fflush(stdout) != 0 ? -EIO : 0;
}

int report_verify(const ReportArguments *a, char **words, char **reterr) {
        _cleanup_(snp_violations_done) SnpViolations violations = {};
        _cleanup_(snp_collateral_done) SnpCollateral pool = {};
        _cleanup_(report_file_done) ReportFile f = {};
        _cleanup_(snp_policy_done) SnpPolicy policy;
        _cleanup_(snp_result_done) SnpResult result = {};
        _cleanup_(snp_trust_done) SnpTrust trust;
        JsStyle style;
        bool json;
        int r;

        snp_policy_init(&policy);
        snp_trust_init(&trust);
        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "verify: expected one report, see --help");
        r = report_json_style(a->json, &json, &style, reterr);
        if (r < 0)
                return r;
        r = build_policy(a, &policy, reterr);
        if (r < 0)
                return r;
        r = decide(a, words[0], &policy, &trust, &pool, &f, &result, &violations, reterr);
        if (r < 0)
                return r;
        r = print_result(&result, &policy, &violations, json, style);
        return r < 0 ? r : verdict_exit_status(result.verdict);
}
