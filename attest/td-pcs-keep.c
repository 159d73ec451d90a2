/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The cache as a store, also for those who serve others from it, as snp-kds-keep.c. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "attest-anchors.h"
#include "date.h"
#include "error.h"
#include "fd.h"
#include "remote.h"
#include "td-pcs-internal.h"

int td_pcs_root(const void *data, size_t size, const char *path, Certificate **ret, char **reterr) {
        _cleanup_(td_collateral_done) TdCollateral c = {};
        const char *intel = trust_anchor_intel_certificate();
        int r = td_collateral_add(&c, data ?: intel, data ? size : strlen(intel), path, reterr);

        if (r < 0)
                return r == -ENOMEM ? r : error_prefix(reterr, -EINVAL, "'%s'", path);
        if (c.n_certificates != 1 || c.n_crls > 0 || c.n_statements > 0 ||
                        !c.certificates->certificate->is_ca)
                return error_set(reterr, -EINVAL, "'%s': expected one root certificate", path);
        *ret = TAKE_PTR(c.certificates->certificate);
        return 0;
}

void td_pcs_kept_done(TdPcsKept *k) {
        free(k->data);
        *k = (TdPcsKept) {};
}

static int load(const TdPcs *k, int dir, const char *name, TdPcsKept *ret) {
        _cleanup_(td_pcs_kept_done) TdPcsKept found = {};
        TdPcsItem item;
        int r = td_pcs_file_parse(name, &item);

        if (r >= 0)
                r = remote_cache_read(dir, name, TD_PCS_FILE_MAX, &found.data, &found.size, &found.stored);
        if (r >= 0)
                r = td_pcs_judge(k, &item, found.data, found.size, &found);
        if (r <= 0)
                return r == -ENOMEM ? r : -ENOENT;
        *ret = TAKE_STRUCT(found, (TdPcsKept) {});
        return 0;
}

int td_pcs_load(const TdPcs *k, const char *name, TdPcsKept *ret) {
        _cleanup_close_ int dir = k->cache ? remote_cache_open(k->cache) : -EBADF;

        return dir < 0 ? -ENOENT : load(k, dir, name, ret);
}

int td_pcs_store(const TdPcs *k, const char *name, const void *p, size_t n, char **reterr) {
        _cleanup_close_ int dir = k->cache ? remote_cache_open(k->cache) : -EBADF;
        _cleanup_(td_pcs_kept_done) TdPcsKept kept = {};
        TdPcsKept dates = {};
        TdPcsItem item;
        int r = td_pcs_file_parse(name, &item);

        if (r >= 0)
                r = td_pcs_judge(k, &item, p, n, &dates);
        if (r == 0 || r == -ENOENT)
                return error_set(
                                reterr, -EKEYREJECTED, "%s does not verify up to the pinned root key", name);
        if (r < 0)
                return r;
        if (k->now > dates.next_update)
                return error_set(reterr, -ESTALE,
                                "the next update of %s was due at %s, and the time of verification is %s",
                                name, date_text(dates.next_update).text, date_text(k->now).text);
        if (k->now < dates.this_update)
                return error_set(reterr, -ESTALE, "%s is from %s, and the time of verification is %s", name,
                                date_text(dates.this_update).text, date_text(k->now).text);
        if (!k->cache)
                return 0;
        if (dir < 0)
                return error_set(reterr, dir, "cannot open the cache '%s'", k->cache);
        r = load(k, dir, name, &kept);
        if (r == 0 && dates.this_update < kept.this_update)
                return error_set(reterr, -ESTALE, "%s is older than the one in the cache", name);
        return r == -ENOMEM ? r : remote_cache_write(dir, name, p, n);
}
