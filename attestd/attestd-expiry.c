/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Until when the certificates are valid that a launch, or this owner's access, depends on, and until when revocation lists are current. SEV certificates have
 * no dates. */

#include <errno.h>
#include <inttypes.h>

#include "attestd-service.h"
#include "snp-collateral.h"
#include "snp-kds.h"

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
        return r < 0 ? r : reply_json(reply, 200, TAKE_PTR(list));
}
