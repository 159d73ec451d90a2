/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What may be in the cache: what verifies up to the root and is what its name says. Whether it is current, and whether its signer was revoked, is judged at each use. */

#include <errno.h>
#include <string.h>

#include "strutil.h"
#include "td-pcs-internal.h"
#include "td-verify-internal.h"

/* 1, 0 or -errno. */
static int verdict(int r) {
        return r == 0 ? 1 : r == -EKEYREJECTED || r == -EBADMSG ? 0 : r;
}

static int is_root(const TdPcs *k, const Certificate *c) {
        uint8_t pinned[SHA256_SIZE], found[SHA256_SIZE];
        int r = certificate_fingerprint(k->root, pinned);

        if (r == 0)
                r = certificate_fingerprint(c, found);
        if (r < 0)
                return r;
        if (memcmp(pinned, found, sizeof(pinned)) != 0 || !td_is_issuer(c, 0))
                return 0;
        return verdict(certificate_verify(c, c));
}

/* The chain in front: `name`, signed by the root. */
static int is_chain(const TdPcs *k, const TdPcsForm *f, const char *name, bool ca) {
        int r = is_root(k, f->root);

        if (r <= 0)
                return r;
        if (!streq(f->issuer->common_name, name) || f->issuer->is_ca != ca ||
                        (ca &&
                                        (!td_is_issuer(f->issuer, 0) ||
                                                        !(f->issuer->key_usage & CERTIFICATE_CRL_SIGN))))
                return 0;
        return verdict(certificate_verify(f->issuer, f->root));
}

static int judge_tcb_info(const TdSigned *s, const TdPcsItem *item, TdPcsKept *ret) {
        _cleanup_(td_tcb_info_done) TdTcbInfo t = {};
        int r = td_tcb_info_read(s->body, s->size, &t, NULL);

        if (r < 0 || memcmp(t.fmspc, item->fmspc, TD_FMSPC_SIZE) != 0)
                return r < 0 ? verdict(r) : 0;
        ret->this_update = t.issued;
        ret->next_update = t.next;
        return 1;
}

static int judge_identity(const TdSigned *s, TdPcsKept *ret) {
        _cleanup_(td_qe_identity_done) TdQeIdentity q = {};
        int r = td_qe_identity_read(s->body, s->size, &q, NULL);

        ret->this_update = q.issued;
        ret->next_update = q.next;
        return verdict(r);
}

static int judge_statement(const TdPcs *k, const TdPcsItem *item, const TdPcsForm *f, TdPcsKept *ret) {
        _cleanup_(td_signed_done) TdSigned s = {};
        int r = is_chain(k, f, TD_SIGNER, /* ca= */ false);

        if (r <= 0)
                return r;
        r = td_signed_read(f->body, f->body_size, &s, NULL);
        if (r <= 0)
                return r == -ENOMEM ? r : 0;
        if (s.kind != (item->kind == TD_PCS_TCB_INFO ? TD_SIGNED_TCB_INFO : TD_SIGNED_QE_IDENTITY))
                return 0;
        r = verdict(p256_key_verify(f->issuer->p256, s.body, s.size, s.signature));
        if (r <= 0)
                return r;
        return item->kind == TD_PCS_TCB_INFO ? judge_tcb_info(&s, item, ret) : judge_identity(&s, ret);
}

static int judge_list(const TdPcs *k, const TdPcsItem *item, const TdPcsForm *f, TdPcsKept *ret) {
        const char *name = item->kind == TD_PCS_PLATFORM_CRL ? TD_PLATFORM_CA : TD_PROCESSOR_CA;
        _cleanup_crl_ Crl *crl = NULL;
        int r = item->kind == TD_PCS_ROOT_CRL ? 1 : is_chain(k, f, name, /* ca= */ true);

        if (r > 0)
                r = verdict(crl_new_profile(X509_ECDSA_P256, f->body, f->body_size, &crl, NULL));
        if (r <= 0)
                return r;
        ret->this_update = crl->this_update;
        ret->next_update = crl->next_update;
        return verdict(crl_verify(crl, item->kind == TD_PCS_ROOT_CRL ? k->root : f->issuer));
}

int td_pcs_judge(const TdPcs *k, const TdPcsItem *item, const void *p, size_t n, TdPcsKept *ret_dates) {
        _cleanup_(td_pcs_form_done) TdPcsForm f = {};
        int r = td_pcs_form_read(item->kind, p, n, &f);

        if (r < 0)
                return verdict(r);
        switch (item->kind) {
        case TD_PCS_TCB_INFO:
        case TD_PCS_QE_IDENTITY:
                return judge_statement(k, item, &f, ret_dates);
        case TD_PCS_PLATFORM_CRL:
        case TD_PCS_PROCESSOR_CRL:
        case TD_PCS_ROOT_CRL:
                return judge_list(k, item, &f, ret_dates);
        case _TD_PCS_KIND_MAX:
        case _TD_PCS_KIND_INVALID:
        default:
                return 0;
        }
}
