/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Intel TDX quotes: options to trust, collateral and policy; and the answer. What files do not have comes from the cache or from Intel's PCS. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "input.h"
#include "report-references.h"
#include "report-td-references.h"
#include "report-technology.h"
#include "strutil.h"
#include "td-result.h"

#define COLLATERAL_FILE_MAX (1024u * 1024u)
#define POLICY_FILE_MAX     (4u * 1024u * 1024u)
#define BOUND_FILE_MAX      (64u * 1024u * 1024u)

/* What all quotes share. Statements that were verified stay marked in the pool. */
typedef struct Shared {
        const ReportArguments *arguments;
        TdPolicy policy;
        ReportReferences refs;
        TdTrust trust;
        TdCollateral pool;
        ReportNetwork network;
        int64_t now;
        SnpCrlMode crl;
} Shared;

static int add_file(TdCollateral *pool, const char *path, char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = input_read("collateral", path, COLLATERAL_FILE_MAX, &data, &size, reterr);

        if (r < 0)
                return r;
        /* Its own chain is in it, and nothing that decides about that. */
        if (td_quote_is((const uint8_t *) data, size))
                return error_set(reterr, -EINVAL,
                                "--collateral: '%s' is a TD quote; expected Intel's TCB info, QE identity, certificates or revocation lists",
                                path);
        r = td_collateral_add(pool, data, size, path, reterr);
        return r < 0 && r != -ENOMEM ? error_prefix(reterr, -EINVAL, "--collateral: '%s'", path) : r;
}

/* The one root certificate in the file. */
static int trust_root(TdTrust *t, const char *path, char **reterr) {
        _cleanup_(td_collateral_done) TdCollateral c = {};
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = input_read("insecure-root", path, COLLATERAL_FILE_MAX, &data, &size, reterr);

        if (r < 0)
                return r;
        r = td_collateral_add(&c, data, size, path, reterr);
        if (r < 0)
                return r == -ENOMEM ? r : error_prefix(reterr, -EINVAL, "--insecure-root: '%s'", path);
        if (c.n_certificates != 1 || c.n_crls > 0 || c.n_statements > 0 ||
                        !c.certificates->certificate->is_ca)
                return error_set(reterr, -EINVAL, "--insecure-root: '%s': expected one root certificate",
                                path);
        return td_trust_insecure_acknowledging_forgery(t, c.certificates->certificate);
}

/* --- policy -------------------------------------------------------------------------------------------------------------- */

static int accept_text(TdPolicy *p, TdField f, const char *option, const char *s, char **reterr) {
        uint8_t value[64];
        int r = bytes_from_text(s, value, td_field_size(f), reterr);

        if (r == 0)
                r = td_policy_accept(p, f, value, reterr);
        return r < 0 ? error_prefix(reterr, r, "--%s", option) : 0;
}

static int accept_bound(TdPolicy *p, const char *path, char **reterr) {
        uint8_t digest[SHA512_SIZE];
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r = input_read("bound-to", path, BOUND_FILE_MAX, &data, &size, reterr);

        if (r == 0)
                r = hash_digest(HASH_SHA512, data, size, digest);
        return r == 0 ? td_policy_accept(p, TD_FIELD_REPORT_DATA, digest, reterr) : r;
}

/* NAME:HEX, NAME:any; measurement and report data have their options. */
static int accept_expect(TdPolicy *p, const char *s, char **reterr) {
        const char *colon = strchr(s, ':');
        _cleanup_free_ char *name = colon ? strndup(s, (size_t) (colon - s)) : NULL;
        TdField f = name ? td_field_from_string(name) : _TD_FIELD_INVALID;
        int r;

        if (colon && !name)
                return -ENOMEM;
        if (name && streq(name, "xfam")) {
                r = td_policy_accept_xfam(p, colon + 1, reterr);
                return r < 0 ? error_prefix(reterr, r, "--expect=xfam") : 0;
        }
        if (f < 0 || f == TD_FIELD_MEASUREMENT || f == TD_FIELD_REPORT_DATA)
                return error_set(reterr, -EINVAL,
                                "--expect: expected NAME:HEX, with NAME rtmr0, rtmr1, rtmr2, rtmr3, mrconfigid, mrowner, mrownerconfig, mrseam or xfam, not '%s'",
                                s);
        if (!streq(colon + 1, "any"))
                return accept_text(p, f, "expect", colon + 1, reterr);
        r = td_policy_waive(p, f, reterr);
        return r < 0 ? error_prefix(reterr, r, "--expect") : 0;
}

static int read_policy_file(TdPolicy *p, const char *path, char **reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        size_t size;
        int r = input_read("policy", path, POLICY_FILE_MAX, &text, &size, reterr);

        if (r < 0)
                return r;
        r = js_parse(text, size, &j, reterr);
        if (r == 0)
                r = td_policy_read(j, p, reterr);
        return r < 0 ? error_prefix(reterr, r, "%s", path) : 0;
}

/* Each word of a list by one function. */
static int each(TdPolicy *p, char **list, int (*accept)(TdPolicy *, const char *, char **), char **reterr) {
        int r = 0;

        for (char **s = list; r == 0 && s && *s; s++)
                r = accept(p, *s, reterr);
        return r;
}

static int accept_measurement(TdPolicy *p, const char *s, char **reterr) {
        return accept_text(p, TD_FIELD_MEASUREMENT, "measurement", s, reterr);
}

static int accept_report_data(TdPolicy *p, const char *s, char **reterr) {
        return accept_text(p, TD_FIELD_REPORT_DATA, "report-data", s, reterr);
}

static int accept_status(TdPolicy *p, const char *s, char **reterr) {
        int r = td_policy_accept_status(p, s, reterr);

        return r < 0 ? error_prefix(reterr, r, "--tcb-status") : 0;
}

/* The policy file first, then the options on top. */
static int read_policy(const ReportArguments *a, TdPolicy *p, char **reterr) {
        int r = report_policy_exclusions(a, /* expected= */ a->measurements, reterr);

        if (r == 0 && a->policy)
                r = read_policy_file(p, a->policy, reterr);
        if (r == 0)
                r = each(p, a->measurements, accept_measurement, reterr);
        if (r == 0)
                r = each(p, a->expect, accept_expect, reterr);
        if (r == 0)
                r = each(p, a->report_data, accept_report_data, reterr);
        if (r == 0)
                r = each(p, a->tcb_status, accept_status, reterr);
        if (r == 0 && a->bound_to)
                r = accept_bound(p, a->bound_to, reterr);
        if (r < 0)
                return r;
        p->allow_debug = p->allow_debug || a->allow_debug;
        p->allow_migration = p->allow_migration || a->allow_migration_agent;
        p->allow_host_credentials = p->allow_host_credentials || a->allow_host_credentials;
        if (a->any_measurement)
                td_policy_accept_any_measurement_acknowledging_forgery(p);
        if (a->any_report_data)
                td_policy_accept_any_report_data_acknowledging_replay(p);
        return 0;
}

/* --- the row ------------------------------------------------------------------------------------------------------------- */

static void tdx_end(void *shared) {
        Shared *s = shared;

        if (!s)
                return;
        td_collateral_done(&s->pool);
        report_network_done(&s->network);
        td_policy_done(&s->policy);
        report_references_done(&s->refs);
        free(s);
}

static int set_up(const ReportArguments *a, Shared *s, char **reterr) {
        int r;

        s->arguments = a;
        td_policy_init(&s->policy);
        td_trust_init(&s->trust);
        r = read_policy(a, &s->policy, reterr);
        if (r == 0)
                r = report_references_bundles(a, COCO_TDX, &s->refs, reterr);
        if (r == 0)
                r = td_references_check(&s->refs, &s->policy, reterr);
        if (r == 0)
                r = report_time(a->time, &s->now, reterr);
        if (r == 0)
                r = report_crl_mode(a, &s->crl, reterr);
        if (r == 0 && a->insecure_root)
                r = trust_root(&s->trust, a->insecure_root, reterr);
        if (r == 0)
                r = report_network_init(&s->network, a, s->now, reterr);
        for (char **path = a->collateral; r == 0 && path && *path; path++)
                r = add_file(&s->pool, *path, reterr);
        return r;
}

static int tdx_start(const ReportArguments *a, char *const *launch, void **ret, char **reterr) {
        Shared *s = calloc(1, sizeof(Shared));
        int r;

        assert(!launch);
        if (!s)
                return -ENOMEM;
        r = set_up(a, s, reterr);
        if (r < 0)
                tdx_end(s);
        else
                *ret = s;
        return r;
}

/* With the launch that the quote was found to be, or is nearest to. */
static int answer(const Shared *s, const TdResult *result, const TdMatch *match,
                const Violations *violations, ReportAnswer *ret) {
        const char *noun = match->found ? "reference" : "nearest";
        char *text, *with;
        int r;

        if (s->arguments->common.json) {
                r = td_result_json(result, &match->policy, violations, &ret->json);
                return r < 0 || !match->text
                                ? r
                                : js_set(ret->json, match->found ? "reference" : "nearest_reference",
                                                  js_string(match->text));
        }
        r = td_result_text(result, &match->policy, violations, &text);
        if (r < 0 || !match->text) {
                ret->text = r < 0 ? NULL : text;
                return r;
        }
        if (asprintf(&with, "%11s: %s\n%s", noun, match->text, text) < 0)
                with = NULL;
        free(text);
        ret->text = with;
        return with ? 0 : -ENOMEM;
}

static int tdx_judge(void *shared, const char *path, ReportAnswer *ret, char **reterr) {
        Shared *s = shared;
        _cleanup_(violations_done) Violations violations = {};
        _cleanup_(td_result_done) TdResult result = {};
        _cleanup_(td_match_done) TdMatch match = { .policy = s->policy };
        _cleanup_free_ char *data = NULL;
        TdVerifyInput in = { .collateral = &s->pool, .trust = &s->trust, .now = s->now, .crl = s->crl };
        int r = report_quote_read(path, &data, &in.quote_size);

        if (r <= 0)
                return r < 0 ? r : error_set(reterr, -EINVAL, "'%s' is not a TDX quote any more", path);
        in.quote = (const uint8_t *) data;
        r = td_pcs_verify(&s->network.pcs, &in, &result);
        if (r == 0 && result.authentic)
                r = td_references_find(&s->refs, &s->policy, &result.quote, &match);
        if (r == 0 && result.authentic)
                r = td_policy_judge(&match.policy, &result, &violations, reterr);
        if (r < 0)
                return r;
        ret->verdict = result.verdict;
        return answer(s, &result, &match, &violations, ret);
}

static bool tdx_recognise(const char *path) {
        _cleanup_free_ char *data = NULL;
        size_t size;

        return report_quote_read(path, &data, &size) > 0;
}

static const ReportOption foreign[] = {
        { "leaf", offsetof(ReportArguments, leaf) },
        { "ca", offsetof(ReportArguments, ca) },
        { "certs", offsetof(ReportArguments, certs) },
        { "kds", offsetof(ReportArguments, kds_url) },
        { "generation", offsetof(ReportArguments, generation) },
        { "host-data", offsetof(ReportArguments, host_data) },
        { "vmpl", offsetof(ReportArguments, vmpl) },
        {},
};

const ReportTechnology report_technology_tdx = {
        .name = "tdx",
        .evidence = "TDX quotes",
        .foreign = foreign,
        .host_credentials = true,
        .launch = "the registers of TDX quotes are not computed from arguments of measure; give them with --measurement and --expect",
        .recognise = tdx_recognise,
        .start = tdx_start,
        .judge = tdx_judge,
        .end = tdx_end,
};
