/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The cache with what verifies it: AMD's roots and Intel's. The name of a file says whose it is. */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "collateral.h"
#include "error.h"
#include "fd.h"
#include "input.h"
#include "strutil.h"

#define CACHE_DEFAULT "/var/lib/cvmspawn-collateral"
#define ROOT_SIZE_MAX (64u * 1024)

int collateral_store_make(const CollateralStore *s, char **reterr) {
        int r = make_directories(s->cache);

        return r < 0 ? error_set(reterr, r, "cannot create the cache '%s': %s", s->cache, strerror(-r)) : 0;
}

static int trust_amd(const CollateralArgs *a, SnpTrust *ret, char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        snp_trust_init(ret);
        if (!a->insecure_root)
                return 0;
        r = input_read("insecure-root", a->insecure_root, ROOT_SIZE_MAX, &data, &size, reterr);
        if (r < 0)
                return r;
        r = snp_collateral_insecure_root(ret, data, size, a->insecure_root, reterr);
        return r < 0 ? error_prefix(reterr, r, "--insecure-root") : 0;
}

static int trust_intel(const CollateralArgs *a, Certificate **ret, char **reterr) {
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        if (!a->insecure_tdx_root)
                return td_pcs_root(NULL, 0, "Intel's root", ret, reterr);
        r = input_read("insecure-tdx-root", a->insecure_tdx_root, ROOT_SIZE_MAX, &data, &size, reterr);
        if (r < 0)
                return r;
        r = td_pcs_root(data, size, a->insecure_tdx_root, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--insecure-tdx-root") : 0;
}

int collateral_store_open(const CollateralArgs *a, bool make, CollateralStore *s, char **reterr) {
        int r = trust_amd(a, &s->trust, reterr);

        if (r >= 0)
                r = trust_intel(a, &s->intel, reterr);
        if (r < 0)
                return r;
        s->cache = strdup(a->cache ?: getenv("STATE_DIRECTORY") ?: CACHE_DEFAULT);
        if (!s->cache)
                return -ENOMEM;
        return make ? collateral_store_make(s, reterr) : 0;
}

void collateral_store_done(CollateralStore *s) {
        free(s->cache);
        snp_trust_done(&s->trust);
        s->intel = certificate_free(s->intel);
}

static SnpKds kds_of(const CollateralStore *s) {
        return (SnpKds) { .cache = s->cache, .trust = (SnpTrust *) &s->trust, .now = (int64_t) time(NULL) };
}

static TdPcs pcs_of(const CollateralStore *s) {
        return (TdPcs) { .cache = s->cache, .root = s->intel, .now = (int64_t) time(NULL) };
}

int collateral_store_load(const CollateralStore *s, const char *name, SnpKdsKept *ret) {
        const SnpKds kds = kds_of(s);
        const TdPcs pcs = pcs_of(s);
        TdPcsKept kept = {};
        TdPcsItem item;
        int r;

        if (td_pcs_file_parse(name, &item) < 0)
                return snp_kds_load(&kds, name, ret);
        r = td_pcs_load(&pcs, name, &kept);
        if (r < 0)
                return r;
        *ret = (SnpKdsKept) { (uint8_t *) kept.data, kept.size, kept.this_update, kept.next_update,
                kept.stored };
        return 0;
}

int collateral_store_put(
                const CollateralStore *s, const char *name, const void *p, size_t n, char **reterr) {
        const SnpKds kds = kds_of(s);
        const TdPcs pcs = pcs_of(s);
        TdPcsItem item;

        return td_pcs_file_parse(name, &item) < 0 ? snp_kds_store(&kds, name, p, n, reterr)
                                                  : td_pcs_store(&pcs, name, p, n, reterr);
}
