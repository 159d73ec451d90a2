/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Judges the reports of SEV-SNP guests. Only certificates that are here or in the request decide: nothing is downloaded while a guest waits. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attestd-guest.h"
#include "attestd-revocation.h"
#include "snp-evidence.h"
#include "snp-kds.h"
#include "snp-policy.h"

/* The host says what comes with the report: what cannot be read is left out. */
static int fill_pool(const Service *s, const GuestEvidence *e, SnpCollateral *pool) {
        SnpCertTable table;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < s->n_snp_files; i++)
                r = snp_collateral_add(pool, s->snp_files[i].data, s->snp_files[i].size,
                                s->snp_files[i].name,
                                /* named= */ false, NULL);
        if (r < 0 || !e->certs)
                return r;
        if (snp_cert_table_decode(e->certs, e->certs_size, &table, NULL) >= 0)
                return snp_collateral_add_table(pool, &table, "the request's certificate table");
        r = snp_collateral_add(pool, e->certs, e->certs_size, "the request", /* named= */ false, NULL);
        return r == -ENOMEM ? r : 0;
}

/* Verifies, looks into the cache for what is missing, and verifies again. */
static int verify(const Service *s, const GuestEvidence *e, SnpCollateral *pool, SnpResult *ret) {
        const SnpKds kds = { .cache = s->kds_cache, .offline = true, .now = service_now(s) };
        const SnpVerifyInput in = {
                .report = e->report,
                .report_size = e->report_size,
                .collateral = pool,
                .trust = s->snp_trust,
                .now = service_now(s),
                .generation = _SNP_GENERATION_INVALID,
                .crl = s->crl,
        };
        int r = s->kds_cache ? snp_kds_verify(&kds, &in, ret) : snp_verify(&in, ret);

        if (r >= 0)
                r = service_revocation(s, ret, pool);
        if (r <= 0)
                return r;
        snp_result_done(ret);
        *ret = (SnpResult) {};
        return snp_verify(&in, ret);
}

/* The names of the rules, never what they require. */
static int refuse_policy(const ServiceCall *c, const StoreLaunch *l, const Violations *v) {
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *detail = NULL;
        int r;

        if (guest_violated(v, "report_data"))
                return guest_refuse(c, l, "binding-mismatch",
                                "report_data was not computed from this launch's nonce and id and from public-key");
        if (guest_violated(v, "measurement"))
                return guest_refuse(c, l, "measurement-mismatch",
                                "the measurement matches none of the registered launches: firmware, kernel, "
                                "initrd, "
                                "command line, number or model of CPUs, or guest features differ");
        text_put(&t, "the report does not meet the registered policy:");
        FOREACH_ARRAY(x, v->list, v->n)
                text_putf(&t, " %s", x->rule);
        r = text_finish(&t, &detail);
        return r < 0 ? r : guest_refuse(c, l, "policy-not-met", detail);
}

/* Has what is missing fetched: 1 it may come, after *ret_seconds; 0 it is not available. */
static int want(const ServiceCall *c, const SnpResult *result, unsigned *ret_seconds) {
        const Service *s = c->s;
        SnpKdsItem items[SNP_KDS_ITEMS_MAX];
        size_t n = 0;
        bool coming = false;

        if (!s->kds_cache || !s->fetch)
                return 0;
        snp_kds_missing(result, _SNP_GENERATION_INVALID, items, &n);
        FOREACH_ARRAY(item, items, n) {
                _cleanup_free_ char *name = NULL, *path = NULL, *what = NULL;
                unsigned seconds = 1;
                int r = snp_kds_file(item, &name, NULL);

                if (r >= 0)
                        r = snp_kds_path(item, &path, NULL);
                if (r < 0)
                        return r == -ENOMEM ? r : 0; /* a masked chip */
                if (asprintf(&what, "%s %s", name, path) < 0) {
                        what = NULL;
                        return -ENOMEM;
                }
                r = s->fetch(s->fetch_data, what, c->q->peer, &seconds);
                if (r < 0)
                        return r;
                if (r > 0)
                        *ret_seconds = coming ? MAX(*ret_seconds, seconds) : seconds;
                coming = coming || r > 0;
        }
        return coming;
}

int snp_judge(const ServiceCall *c, const StoreLaunch *l, const GuestEvidence *e) {
        const Service *s = c->s;
        _cleanup_(snp_collateral_done) SnpCollateral pool = {};
        _cleanup_(violations_done) Violations violations = {};
        _cleanup_(snp_result_done) SnpResult result = {};
        _cleanup_free_ char *detail = NULL;
        uint8_t data[SNP_PACKET_DATA_SIZE];
        unsigned seconds = 1;
        int r = fill_pool(s, e, &pool);

        if (r >= 0)
                r = verify(s, e, &pool, &result);
        if (r < 0)
                return r;
        r = result.authentic ? 0 : want(c, &result, &seconds);
        if (r < 0)
                return r;
        if (r > 0) {
                c->reply->retry_after = seconds;
                return reply_problem(c->reply, 503, "vcek-pending", "Certificate pending",
                                "AMD's certificates for this chip are being downloaded; send the same request again");
        }
        if (result.verdict == VERDICT_COLLATERAL_UNAVAILABLE)
                return reply_problem(c->reply, 424, "collateral-missing", "Certificate missing",
                                "the report's certificate chain is incomplete (step %s): "
                                "send the VCEK or VLEK and the ASK in certs, or ask the service's operator to add them",
                                snp_step_to_string(result.step));
        if (!result.authentic) {
                if (asprintf(&detail, "the report is not authentic, step %s",
                                    snp_step_to_string(result.step)) < 0) {
                        detail = NULL;
                        return -ENOMEM;
                }
                return guest_refuse(c, l, "report-not-authentic", detail);
        }
        r = snp_binding_report_data(&e->binding, data);
        if (r >= 0)
                r = snp_policy_accept(c->reg.snp.policy, SNP_FIELD_REPORT_DATA, data, NULL);
        if (r >= 0)
                r = snp_policy_judge(c->reg.snp.policy, &result, &violations, NULL);
        if (r < 0)
                return r;
        return result.verdict == VERDICT_VERIFIED ? 1 : refuse_policy(c, l, &violations);
}
