/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The cache as a store that others are served from: what enters it replaces nothing newer, and what leaves it verifies now. */

#include <errno.h>

#include "error.h"
#include "fd.h"
#include "snp-kds-internal.h"
#include "strutil.h"

void snp_kds_kept_done(SnpKdsKept *k) {
        free(k->data);
        *k = (SnpKdsKept) {};
}

/* Dates of a revocation list; of anything else: for ever. */
static int read_dates(const void *p, size_t n, int64_t *ret_this, int64_t *ret_next) {
        _cleanup_(snp_collateral_done) SnpCollateral c = {};
        int r = snp_collateral_add(&c, p, n, "", /* named= */ false, NULL);

        if (r < 0)
                return r;
        *ret_this = c.n_crls > 0 ? c.crls[0].crl->this_update : 0;
        *ret_next = c.n_crls > 0 ? c.crls[0].crl->next_update : INT64_MAX;
        return 0;
}

static int load(const SnpKds *k, int dir, const char *name, SnpKdsKept *ret) {
        _cleanup_(snp_kds_kept_done) SnpKdsKept found = {};
        char *text;
        int r = remote_cache_read(dir, name, SNP_KDS_ANSWER_MAX, &text, &found.size, &found.stored);

        if (r < 0)
                return r;
        found.data = (uint8_t *) text;
        r = snp_kds_cache_judge(k, dir, name, found.data, found.size, NULL);
        if (r > 0)
                r = read_dates(found.data, found.size, &found.this_update, &found.next_update);
        else if (r != -ENOMEM)
                r = -ENOENT;
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(found, (SnpKdsKept) {});
        return 0;
}

int snp_kds_load(const SnpKds *k, const char *name, SnpKdsKept *ret) {
        _cleanup_close_ int dir = k->cache ? remote_cache_open(k->cache) : -EBADF;

        return dir < 0 ? -ENOENT : load(k, dir, name, ret);
}

int snp_kds_cache_is_older(const SnpKds *k, int dir, const char *name, const void *p, size_t n) {
        _cleanup_(snp_kds_kept_done) SnpKdsKept kept = {};
        int64_t this_update, next_update;
        int r = read_dates(p, n, &this_update, &next_update);

        if (r < 0 || next_update == INT64_MAX)
                return MIN(r, 0);
        r = load(k, dir, name, &kept);
        return r == -ENOENT ? 0 : r < 0 ? r : this_update < kept.this_update;
}

int snp_kds_store(const SnpKds *k, const char *name, const void *p, size_t n, char **reterr) {
        _cleanup_close_ int dir = k->cache ? remote_cache_open(k->cache) : -EBADF;
        int64_t this_update, next_update;
        int r;

        if (dir < 0)
                return error_set(reterr, dir, "cannot open the cache '%s'", k->cache ?: "");
        r = snp_kds_cache_judge(k, dir, name, p, n, NULL);
        if (r == 0 || r == -ENODATA)
                return error_set(reterr, -EKEYREJECTED, "%s does not verify up to a pinned root key", name);
        if (r > 0)
                r = read_dates(p, n, &this_update, &next_update);
        if (r < 0)
                return r;
        if (k->now > next_update)
                return error_set(reterr, -ESTALE, "%s is a revocation list whose next update is overdue",
                                name);
        r = snp_kds_cache_is_older(k, dir, name, p, n);
        if (r > 0)
                return error_set(reterr, -ESTALE, "%s is older than the revocation list in the cache", name);
        return r < 0 ? r : remote_cache_write(dir, name, p, n);
}
