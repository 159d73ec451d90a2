/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* From options and policy file to one policy. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "input.h"
#include "report-references.h"
#include "report.h"
#include "strutil.h"

#define POLICY_FILE_MAX (4u * 1024u * 1024u)
#define BOUND_FILE_MAX  (64u * 1024u * 1024u)

static int accept_text(SnpPolicy *p, SnpBytesField f, const char *option, const char *s, char **reterr) {
        uint8_t value[64];
        int r;

        r = bytes_from_text(s, value, snp_field_size(f), reterr);
        if (r == 0)
                r = snp_policy_accept(p, f, value, reterr);
        return r < 0 ? error_prefix(reterr, r, "--%s", option) : 0;
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

        r = input_read("bound-to", path, BOUND_FILE_MAX, &data, &size, reterr);
        if (r < 0)
                return r;
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

        r = input_read("policy", path, POLICY_FILE_MAX, &text, &size, reterr);
        if (r < 0)
                return r;
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

int report_crl_mode(const ReportArguments *a, SnpCrlMode *ret, char **reterr) {
        SnpCrlMode m = a->crl ? snp_crl_mode_from_string(a->crl) : SNP_CRL_IF_AVAILABLE;

        if (m < 0)
                return error_set(reterr, -EINVAL, "--crl: expected off, if-available or required, not '%s'",
                                a->crl);
        *ret = m;
        return 0;
}

int report_policy_exclusions(const ReportArguments *a, bool expected, char **reterr) {
        if (a->any_measurement && expected)
                return error_set(reterr, -EINVAL,
                                "--insecure-any-measurement excludes an expected measurement: use one of them");
        if (a->any_report_data && (a->report_data || a->bound_to))
                return error_set(reterr, -EINVAL,
                                "--insecure-any-report-data excludes expected report data: use one of them");
        if (a->report_data && a->bound_to)
                return error_set(reterr, -EINVAL,
                                "--report-data and --bound-to both set the expected report data: use one of them");
        return 0;
}

/* The policy file first, then the options on top. */
int report_policy(const ReportArguments *a, char *const *launch, SnpPolicy *p, ReportReferences *refs,
                char **reterr) {
        int r = report_policy_exclusions(a, a->measurements || a->references || launch, reterr);

        if (r == 0 && a->policy)
                r = read_policy_file(p, a->policy, reterr);
        if (r == 0)
                r = accept_list(p, SNP_FIELD_MEASUREMENT, "measurement", a->measurements, reterr);
        if (r == 0)
                r = accept_list(p, SNP_FIELD_REPORT_DATA, "report-data", a->report_data, reterr);
        if (r == 0)
                r = accept_list(p, SNP_FIELD_HOST_DATA, "host-data", a->host_data, reterr);
        if (r == 0)
                r = report_references_read(a, launch, p, refs, reterr);
        if (r == 0 && a->bound_to)
                r = accept_bound(p, a->bound_to, reterr);
        if (r == 0 && a->vmpl)
                r = set_vmpl(p, a->vmpl, reterr);
        if (r < 0)
                return r;
        p->allow_debug = p->allow_debug || a->allow_debug;
        p->allow_migration_agent = p->allow_migration_agent || a->allow_migration_agent;
        if (a->any_measurement)
                snp_policy_accept_any_measurement_acknowledging_forgery(p);
        if (a->any_report_data)
                snp_policy_accept_any_report_data_acknowledging_replay(p);
        return snp_policy_decided(p, reterr);
}
