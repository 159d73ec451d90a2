/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The half of td_verify() that is about Intel's statements: which are genuine and current, and what they say about this quote. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "strutil.h"
#include "td-verify-internal.h"

enum { /* in the report of an enclave */
        QE_MISCSELECT = 16,
        QE_ATTRIBUTES = 48,
        QE_MRSIGNER = 128,
        QE_ISVPRODID = 256,
        QE_ISVSVN = 258,
};

/* --- which statements are genuine ---------------------------------------------------------------------------------------- */

/* 1: Intel's key for statements; 0: not. */
static int is_signer(const TdVerifyInput *in, const TdResult *r, const Certificate *c) {
        bool current;
        int k;

        if (!streq(c->common_name, TD_SIGNER) || c->is_ca || in->now < c->not_before ||
                        in->now > c->not_after)
                return 0;
        k = certificate_verify(c, r->root);
        if (k < 0)
                return k == -EKEYREJECTED ? 0 : k;
        k = in->crl == SNP_CRL_OFF ? 0 : td_is_revoked(in, r->root, c, &current);
        return k < 0 ? k : k == 0;
}

static int signed_by_intel(const TdVerifyInput *in, const TdResult *r, TdStatement *s) {
        const TdCollateral *pool = in->collateral;
        bool found = false;

        FOREACH_ARRAY(x, pool->certificates, pool->n_certificates) {
                int k = is_signer(in, r, x->certificate);

                if (k < 0)
                        return k;
                if (k == 0)
                        continue;
                found = true;
                k = p256_key_verify(x->certificate->p256, s->json.body, s->json.size, s->json.signature);
                if (k != -EKEYREJECTED)
                        return k < 0 ? k : 1;
        }
        s->why = strdup(found ? "is not signed by Intel's key '" TD_SIGNER "'"
                              : "cannot be verified without a valid certificate '" TD_SIGNER
                                "' of the quote's root; pass its issuer chain with --collateral");
        return s->why ? 0 : -ENOMEM;
}

static int judge(const TdVerifyInput *in, const TdResult *r, TdStatement *s) {
        int k;

        if (s->judged)
                return 0;
        k = signed_by_intel(in, r, s);
        if (k > 0) {
                _cleanup_free_ char *why = NULL;

                k = s->json.kind == TD_SIGNED_TCB_INFO
                                ? td_tcb_info_read(s->json.body, s->json.size, &s->tcb_info, &why)
                                : td_qe_identity_read(s->json.body, s->json.size, &s->qe, &why);
                s->genuine = k == 0;
                if (k == -EBADMSG)
                        k = asprintf(&s->why, "is malformed: %s", why ?: "?") < 0 ? -ENOMEM : 0;
        }
        s->judged = k >= 0;
        return MIN(k, 0);
}

/* --- the ones for this quote --------------------------------------------------------------------------------------------- */

typedef struct Search {
        const TdStatement *best;
        const char *bad, *why; /* weak: the last one that does not serve */
        bool stale, foreign;
} Search;

static bool fits(const TdStatement *s, const TdResult *r) {
        return s->json.kind != TD_SIGNED_TCB_INFO ||
                        (memcmp(s->tcb_info.fmspc, r->pck.fmspc, TD_FMSPC_SIZE) == 0 &&
                                        memcmp(s->tcb_info.pceid, r->pck.pceid, TD_PCEID_SIZE) == 0);
}

static uint64_t evaluation(const TdStatement *s) {
        return s->json.kind == TD_SIGNED_TCB_INFO ? s->tcb_info.evaluation : s->qe.evaluation;
}

static bool is_current(const TdStatement *s, int64_t now) {
        bool tcb = s->json.kind == TD_SIGNED_TCB_INFO;

        return now >= (tcb ? s->tcb_info.issued : s->qe.issued) &&
                        now <= (tcb ? s->tcb_info.next : s->qe.next);
}

/* Of several the one of Intel's latest evaluation. */
static int search(const TdVerifyInput *in, const TdResult *r, TdSignedKind kind, Search *ret) {
        Search found = {};

        FOREACH_ARRAY(s, in->collateral->statements, in->collateral->n_statements) {
                int k = s->json.kind == kind ? judge(in, r, s) : 0;

                if (k < 0)
                        return k;
                if (s->json.kind != kind)
                        continue;
                if (!s->genuine) {
                        found.bad = s->origin;
                        found.why = s->why;
                } else if (!fits(s, r))
                        found.foreign = true;
                else if (!is_current(s, in->now))
                        found.stale = true;
                else if (!found.best || evaluation(s) > evaluation(found.best))
                        found.best = s;
        }
        *ret = found;
        return 0;
}

static int require(const TdVerifyInput *in, TdResult *r, TdSignedKind kind, const char *what,
                const TdStatement **ret) {
        _cleanup_free_ char *fmspc = hex_encode(r->pck.fmspc, TD_FMSPC_SIZE),
                            *pceid = hex_encode(r->pck.pceid, TD_PCEID_SIZE);
        const Verdict unavailable = VERDICT_COLLATERAL_UNAVAILABLE;
        Search s;
        int k = fmspc && pceid ? search(in, r, kind, &s) : -ENOMEM;

        if (k < 0)
                return k;
        *ret = s.best;
        if (s.best)
                return 1;
        if (s.bad)
                return td_fail(r, unavailable, TD_STEP_COLLATERAL, "the %s (%s) %s", what, s.bad,
                                s.why ?: "?");
        if (s.stale)
                return td_fail(r, unavailable, TD_STEP_COLLATERAL,
                                "the available %s is not current at %s; get a newer one from Intel, or use --time to verify for another time",
                                what, date_text(in->now).text);
        if (s.foreign)
                return td_fail(r, unavailable, TD_STEP_COLLATERAL,
                                "the available TCB info is for other processors; expected FMSPC %s, PCEID %s",
                                fmspc, pceid);
        return td_fail(r, unavailable, TD_STEP_COLLATERAL,
                        "no %s is available (FMSPC %s, PCEID %s); pass Intel's with --collateral", what,
                        fmspc, pceid);
}

int td_step_collateral(const TdVerifyInput *in, TdResult *r) {
        int k = require(in, r, TD_SIGNED_TCB_INFO, "TCB info", &r->tcb_info);

        return k <= 0 ? k : require(in, r, TD_SIGNED_QE_IDENTITY, "QE identity", &r->qe_identity);
}

/* (got & mask) == expected, byte by byte. */
static bool masked_equal(const uint8_t *got, const uint8_t *mask, const uint8_t *expected, size_t n) {
        for (size_t i = 0; i < n; i++)
                if ((got[i] & mask[i]) != expected[i])
                        return false;
        return true;
}

int td_step_qe_identity(const TdVerifyInput *in, TdResult *r) {
        const uint8_t *report = r->quote.qe_report.data;
        const TdQeIdentity *id = &r->qe_identity->qe;

        (void) in;
        if (memcmp(report + QE_MRSIGNER, id->mrsigner, sizeof(id->mrsigner)) != 0 ||
                        le16_read(report + QE_ISVPRODID) != id->isvprodid ||
                        !masked_equal(report + QE_MISCSELECT, id->miscselect_mask, id->miscselect,
                                        sizeof(id->miscselect)) ||
                        !masked_equal(report + QE_ATTRIBUTES, id->attributes_mask, id->attributes,
                                        sizeof(id->attributes)))
                return td_fail(r, VERDICT_NOT_AUTHENTIC, TD_STEP_QE_IDENTITY,
                                "the enclave that made the quote is not Intel's quoting enclave for TDs");
        r->qe_level = td_isvsvn_level(&id->levels, le16_read(report + QE_ISVSVN));
        return 1;
}

/* The TDX module, then the status of everything. */
int td_step_module(const TdVerifyInput *in, TdResult *r) {
        const TdTcbInfo *t = &r->tcb_info->tcb_info;
        const TdQuote *q = &r->quote;
        TdStatus module;

        (void) in;
        r->module = td_tcb_module(t, q);
        if (!r->module)
                return td_fail(r, VERDICT_COLLATERAL_UNAVAILABLE, TD_STEP_MODULE,
                                "the TCB info does not have the TDX module TDX_%02X of the quote; get a newer one from Intel",
                                q->tee_tcb_svn[1]);
        if (!td_module_fits(r->module, q))
                return td_fail(r, VERDICT_NOT_AUTHENTIC, TD_STEP_MODULE,
                                "MRSIGNERSEAM or SEAMATTRIBUTES are not those of a TDX module of Intel's");
        r->level = td_tcb_level(t, &r->pck, q);
        r->status = r->level ? r->level->status : TD_STATUS_NOT_SUPPORTED;
        if (r->module->levels.n > 0) {
                r->module_level = td_isvsvn_level(&r->module->levels, q->tee_tcb_svn[0]);
                module = r->module_level ? r->module_level->status : TD_STATUS_NOT_SUPPORTED;
                if (r->status != TD_STATUS_OUT_OF_DATE || module != TD_STATUS_OUT_OF_DATE ||
                                !td_tcb_relaunch(t, &r->pck, q, &r->status))
                        r->status = td_status_converge(r->status, module);
        }
        r->status = td_status_converge(
                        r->status, r->qe_level ? r->qe_level->status : TD_STATUS_NOT_SUPPORTED);
        return 1;
}
