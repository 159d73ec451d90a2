/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Until when the certificates are valid that a launch, or this owner's access, depends on, and until when revocation lists and Intel's statements are
 * current. SEV certificates have no dates. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attestd-intel.h"
#include "attestd-service.h"
#include "snp-collateral.h"
#include "snp-kds.h"
#include "strutil.h"
#include "td-collateral.h"

static int add(Json *list, const char *use, const char *name, int64_t expires) {
        Json *j = NULL;
        int r = js_build(&j, "{s:s, s:s, s:I}", "use", use, "name", name, "expires", expires);

        return r < 0 ? r : js_append(list, j);
}

/* Each certificate once, also if several files contain it. */
static int add_files(const Service *s, Json *list) {
        _cleanup_(snp_collateral_done) SnpCollateral pool = {};
        int r = 0;

        for (size_t i = 0; r >= 0 && i < s->n_snp_files; i++)
                r = snp_collateral_add(&pool, s->snp_files[i].data, s->snp_files[i].size,
                                s->snp_files[i].name, /* named= */ false, NULL);
        for (size_t i = 0; r >= 0 && i < pool.n_certificates; i++)
                r = add(list, "platform", pool.certificates[i]->certificate->common_name,
                                pool.certificates[i]->certificate->not_after);
        return r;
}

static int add_lists(const Service *s, Json *list) {
        static const SnpKdsKind kinds[] = { SNP_KDS_VCEK_CRL, SNP_KDS_VLEK_CRL };
        const SnpKds kds = { .cache = s->kds_cache, .trust = s->snp_trust, .now = service_now(s) };
        int r = 0;

        for (int g = 0; s->kds_cache && g < _SNP_GENERATION_MAX; g++)
                FOREACH_ARRAY(kind, kinds, ELEMENTSOF(kinds)) {
                        const SnpKdsItem item = { .kind = *kind, .generation = (SnpGeneration) g };
                        _cleanup_(snp_kds_kept_done) SnpKdsKept k = {};
                        _cleanup_free_ char *name = NULL;

                        r = snp_kds_file(&item, &name, NULL);
                        if (r >= 0)
                                r = snp_kds_load(&kds, name, &k);
                        if (r >= 0 && k.next_update != INT64_MAX)
                                r = add(list, "revocation-list", name, k.next_update);
                        if (r < 0 && r != -ENOENT)
                                return r;
                }
        return 0;
}

/* A statement that cannot be used has no date: Intel has others than those for TDX. */
static int add_statement(const TdStatement *t, Json *list) {
        if (t->json.kind == TD_SIGNED_TCB_INFO) {
                char name[64], fmspc[2 * TD_FMSPC_SIZE + 1];
                TdTcbInfo info = {};
                int64_t next;
                int r = td_tcb_info_read(t->json.body, t->json.size, &info, NULL);

                if (r < 0)
                        return r == -ENOMEM ? r : 0;
                for (size_t i = 0; i < TD_FMSPC_SIZE; i++)
                        (void) snprintf(fmspc + 2 * i, 3, "%02x", info.fmspc[i]);
                (void) snprintf(name, sizeof(name), "Intel's TCB info, FMSPC %s", fmspc);
                next = info.next;
                td_tcb_info_done(&info);
                return add(list, "tcb-info", name, next);
        } else {
                TdQeIdentity identity = {};
                int64_t next;
                int r = td_qe_identity_read(t->json.body, t->json.size, &identity, NULL);

                if (r < 0)
                        return r == -ENOMEM ? r : 0;
                next = identity.next;
                td_qe_identity_done(&identity);
                return add(list, "qe-identity", "Intel's identity of the quoting enclave", next);
        }
}

/* By its issuer, if the certificate of that is here, else by its file. */
static int add_crl(const TdCollateral *pool, const TdCrl *l, Json *list) {
        const char *slash = strrchr(l->origin, '/'), *name = slash ? slash + 1 : l->origin;

        if (l->crl->next_update == INT64_MAX)
                return 0;
        FOREACH_ARRAY(c, pool->certificates, pool->n_certificates) {
                const CertificateBytes *subject = &c->certificate->subject, *issuer = &l->crl->issuer;

                if (subject->size == issuer->size && memcmp(subject->data, issuer->data, issuer->size) == 0)
                        name = c->certificate->common_name;
        }
        return add(list, "revocation-list", name, l->crl->next_update);
}

/* Of --tdx-collateral. */
static int add_intel(const Service *s, Json *list) {
        _cleanup_(td_collateral_done) TdCollateral pool = {};
        int r = 0;

        for (size_t i = 0; r >= 0 && i < s->n_td_files; i++)
                r = td_collateral_add(
                                &pool, s->td_files[i].data, s->td_files[i].size, s->td_files[i].name, NULL);
        for (size_t i = 0; r >= 0 && i < pool.n_certificates; i++)
                r = add(list, "platform", pool.certificates[i].certificate->common_name,
                                pool.certificates[i].certificate->not_after);
        for (size_t i = 0; r >= 0 && i < pool.n_statements; i++)
                r = add_statement(pool.statements + i, list);
        for (size_t i = 0; r >= 0 && i < pool.n_crls; i++)
                r = add_crl(&pool, pool.crls + i, list);
        return r;
}

/* Of --kds-cache. */
static int add_kept(void *userdata, TdPcsKind kind, const char *name, int64_t next_update) {
        return add(userdata,
                        kind == TD_PCS_TCB_INFO                      ? "tcb-info"
                                        : kind == TD_PCS_QE_IDENTITY ? "qe-identity"
                                                                     : "revocation-list",
                        name, next_update);
}

int handle_certificates(const Service *s, const Request *q, Reply *reply) {
        _cleanup_js_ Json *list = js_array();
        int r = list ? 0 : -ENOMEM;

        if (r >= 0 && s->tls_until > 0)
                r = add(list, "server", "TLS certificate of the service", s->tls_until);
        if (r >= 0 && s->host_ca_until > 0)
                r = add(list, "host-ca", "CA of hosts", s->host_ca_until);
        if (r >= 0 && q->certificate && q->certificate_until > 0)
                r = add(list, "owner", "your TLS client certificate", q->certificate_until);
        if (r >= 0)
                r = add_files(s, list);
        if (r >= 0)
                r = add_lists(s, list);
        if (r >= 0)
                r = add_intel(s, list);
        if (r >= 0)
                r = intel_each_kept(s, add_kept, list);
        return r < 0 ? r : reply_json(reply, 200, TAKE_PTR(list));
}
