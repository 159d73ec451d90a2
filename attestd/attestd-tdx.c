/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Judges the quotes of TDs, with what the service has of Intel's statements: in files, and in the cache. The quote brings the certificates of its processor; nothing else of Intel's is taken from
 * a host, which could hold back a newer statement or a revocation list. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attestd-guest.h"
#include "strutil.h"
#include "td-pcs.h"
#include "td-registers.h"
#include "td-verify.h"

static int fill_pool(const Service *s, TdCollateral *pool) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < s->n_td_files; i++)
                r = td_collateral_add(
                                pool, s->td_files[i].data, s->td_files[i].size, s->td_files[i].name, NULL);
        return r;
}

/* From files, and where they lack something from the cache. */
static int verify(const Service *s, const TdVerifyInput *in, TdResult *ret) {
        const TdPcs pcs = { .cache = s->kds_cache, .offline = true, .now = in->now };

        return s->kds_cache ? td_pcs_verify(&pcs, in, ret) : td_verify(in, ret);
}

/* Has what is missing fetched: 1 it may come, after *ret_seconds; 0 it is not available. */
static int want(const ServiceCall *c, const TdResult *result, unsigned *ret_seconds) {
        const Service *s = c->s;
        TdPcsItem items[TD_PCS_ITEMS_MAX];
        bool coming = false;
        size_t n = 0;

        if (!s->kds_cache || !s->fetch)
                return 0;
        td_pcs_missing(result, s->crl, items, &n);
        FOREACH_ARRAY(item, items, n) {
                _cleanup_free_ char *name = NULL, *path = NULL, *what = NULL;
                unsigned seconds = 1;
                int r = td_pcs_file(item, &name);

                if (r >= 0)
                        r = td_pcs_path(item, &path);
                if (r < 0)
                        return r;
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

/* The launch that the quote is, or is nearest to, of the first n: its registers are borrowed by the policy. */
static void expect_launch(const RegistrationTdx *t, size_t n, const TdQuote *q, TdPolicy *p) {
        const TdRegisters *best = NULL;
        size_t most = 0;

        FOREACH_ARRAY(l, t->registers, n) {
                size_t all, same = td_registers_compare(l, p, q, &all);

                if (best && same <= most)
                        continue;
                best = l;
                most = same;
        }
        if (best)
                td_registers_expect(best, p);
}

static int not_verified(const ServiceCall *c, const StoreLaunch *l, const TdResult *result) {
        _cleanup_free_ char *detail = NULL;
        unsigned seconds = 1;
        int r = want(c, result, &seconds);

        if (r < 0)
                return r;
        if (r > 0) {
                c->reply->retry_after = seconds;
                return reply_problem(c->reply, 503, "collateral-pending", "Collateral pending",
                                "Intel's statements about this processor are being downloaded; send the same request again");
        }
        if (result->verdict == VERDICT_COLLATERAL_UNAVAILABLE)
                return reply_problem(c->reply, 424, "collateral-missing", "Collateral missing",
                                "Intel's statements about this processor are missing or not current (step %s): ask the service's operator to add TCB info, QE identity, their issuer chain and revocation lists",
                                td_step_to_string(result->step));
        if (asprintf(&detail, "the quote is not authentic, step %s", td_step_to_string(result->step)) < 0) {
                detail = NULL;
                return -ENOMEM;
        }
        return guest_refuse(c, l, "report-not-authentic", detail);
}

/* Is the quote one of the launches from..to-1? */
static bool is_launch_of(
                const RegistrationTdx *t, size_t from, size_t to, const TdQuote *q, const TdPolicy *p) {
        for (size_t i = from; i < to; i++) {
                size_t all, same = td_registers_compare(t->registers + i, p, q, &all);

                if (same == all)
                        return true;
        }
        return false;
}

/* The names of registers and rules, never what they require. */
static int refuse_policy(const ServiceCall *c, const StoreLaunch *l, const Violations *v, bool attributes) {
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *detail = NULL;
        bool launch = false;
        int r;

        if (guest_violated(v, "report_data"))
                return guest_refuse(c, l, "binding-mismatch",
                                "REPORTDATA was not computed from this launch's nonce and id and from public-key");
        for (size_t i = 0; i < TD_REGISTERS; i++)
                launch = launch || guest_violated(v, td_field_to_string(td_register_field(i)));
        text_put(&t,
                        launch ? "the registers match none of the registered launches; compared with the nearest one, these differ:"
                               : "the quote does not meet the registered policy:");
        if (attributes)
                text_put(&t, " policy");
        FOREACH_ARRAY(x, v->list, v->n)
                text_putf(&t, " %s", x->rule);
        r = text_finish(&t, &detail);
        return r < 0 ? r : guest_refuse(c, l, launch ? "measurement-mismatch" : "policy-not-met", detail);
}

int tdx_judge(const ServiceCall *c, const StoreLaunch *l, const GuestEvidence *e) {
        const RegistrationTdx *t = &c->reg.tdx;
        const Service *s = c->s;
        _cleanup_(td_collateral_done) TdCollateral pool = {};
        _cleanup_(violations_done) Violations violations = {};
        _cleanup_(td_result_done) TdResult result = {};
        uint8_t data[SNP_PACKET_DATA_SIZE];
        TdPolicy policy = *t->policy; /* its lists are borrowed */
        const TdVerifyInput in = {
                .quote = e->report,
                .quote_size = e->report_size,
                .collateral = &pool,
                .trust = s->td_trust,
                .now = service_now(s),
                .crl = s->crl,
        };
        size_t accepted = t->n_registers;
        bool attributes;
        int r = fill_pool(s, &pool);

        if (r >= 0)
                r = verify(s, &in, &result);
        if (r < 0)
                return r;
        if (!result.authentic)
                return not_verified(c, l, &result);
        if (t->expires > 0 && (uint64_t) in.now > t->expires) {
                accepted = t->n_listed;
                if (accepted == 0 ||
                                (!is_launch_of(t, 0, accepted, &result.quote, &policy) &&
                                                is_launch_of(t, accepted, t->n_registers, &result.quote,
                                                                &policy)))
                        return guest_refuse(c, l, "policy-not-met",
                                        "the registered reference bundle has expired: its owner has to register a newer one");
        }
        r = snp_binding_report_data(&e->binding, data);
        if (r < 0)
                return r;
        expect_launch(t, accepted, &result.quote, &policy);
        policy.bytes[TD_FIELD_REPORT_DATA] =
                        (SnpBytesRule) { .rule = SNP_RULE_SET, .values = data, .n_values = 1 };
        r = td_policy_judge(&policy, &result, &violations, NULL);
        if (r < 0)
                return r;
        attributes = result.quote.attributes != c->reg.policy;
        return result.verdict == VERDICT_VERIFIED && !attributes
                        ? 1
                        : refuse_policy(c, l, &violations, attributes);
}
