/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* AMD's revocation lists for SEV-SNP: applied from the cache, and downloaded ahead by the process that fetches certificates. */

#include <errno.h>
#include <stdio.h>

#include "attestd-revocation.h"
#include "snp-kds.h"

#define REFRESH_SECONDS (24 * 60 * 60)

static SnpKdsItem list_of(const SnpResult *r) {
        return (SnpKdsItem) {
                .kind = r->report.signing_key == SNP_SIGNING_KEY_VLEK ? SNP_KDS_VLEK_CRL : SNP_KDS_VCEK_CRL,
                .generation = r->generation,
        };
}

/* A day old, or half of the time to its next update is over. */
static bool is_due(const SnpKdsKept *k, int64_t now) {
        int64_t age = now - k->stored;

        return age < 0 || age >= REFRESH_SECONDS || age >= k->next_update - now;
}

/* Nobody waits for it: if it does not come now it comes later. */
static int fetch(const Service *s, const SnpKdsItem *item, const char *name) {
        _cleanup_free_ char *path = NULL, *what = NULL;
        unsigned seconds;
        int r = snp_kds_path(item, &path, NULL);

        if (r < 0)
                return r;
        if (asprintf(&what, "%s %s", name, path) < 0) {
                what = NULL;
                return -ENOMEM;
        }
        r = s->fetch(s->fetch_data, what, NULL, &seconds);
        return MIN(r, 0);
}

int service_revocation(const Service *s, const SnpResult *result, SnpCollateral *pool) {
        const SnpKdsItem item = list_of(result);
        const SnpKds kds = { .cache = s->kds_cache, .trust = s->snp_trust, .now = service_now(s) };
        _cleanup_(snp_kds_kept_done) SnpKdsKept k = {};
        _cleanup_free_ char *name = NULL;
        int r;

        if (!s->kds_cache || s->crl == SNP_CRL_OFF || result->generation < 0 || !result->authentic)
                return 0;
        r = snp_kds_file(&item, &name, NULL);
        if (r >= 0)
                r = snp_kds_load(&kds, name, &k);
        if (r < 0 && r != -ENOENT)
                return r;
        if (s->fetch && (r == -ENOENT || is_due(&k, kds.now))) {
                int e = fetch(s, &item, name);

                if (e < 0)
                        return e;
        }
        if (r == -ENOENT || !result->crl_note)
                return 0;
        r = snp_collateral_add(pool, k.data, k.size, name, /* named= */ false, NULL);
        return r < 0 ? r : 1;
}
