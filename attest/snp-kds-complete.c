/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Verifies with the certificates that are available, and fetches those that turn out to be missing. */

#include <errno.h>
#include <stdio.h>

#include "error.h"
#include "snp-kds-internal.h"

#define ROUNDS_MAX 4u /* leaf, chain and revocation list: three fetches at most lie between two verdicts */

/* No leaf, one that is not genuine, or one for another TCB or chip: after an update a host hands out the certificate of yesterday. */
static bool lacks_leaf(const SnpResult *r) {
        return !r->leaf || r->step == SNP_STEP_LEAF || r->step == SNP_STEP_TCB || r->step == SNP_STEP_CHIP;
}

/* A leaf that nobody named and that is none for this report: the service may have the right one. */
static bool is_wrong_hint(const SnpResult *r) {
        return r->verdict == VERDICT_NOT_AUTHENTIC && r->leaf && !r->leaf->named &&
                        r->leaf->role == SNP_ROLE_VCEK && lacks_leaf(r);
}

/* What the user named is judged, whatever the service has. */
static bool is_final(const SnpResult *r) {
        return r->leaf && r->leaf->named && lacks_leaf(r);
}

static SnpKdsItem item_of(const SnpResult *r, SnpGeneration stated, SnpKdsKind vcek, SnpKdsKind vlek) {
        return (SnpKdsItem) {
                .kind = r->report.signing_key == SNP_SIGNING_KEY_VLEK ? vlek : vcek,
                .generation = r->generation >= 0 ? r->generation : stated,
                .report = &r->report,
        };
}

/* The chain first: the leaf is verified by it before it is kept. */
static int complete(const SnpKds *k, const SnpResult *result, SnpGeneration stated, SnpCollateral *pool,
                char **reterr) {
        SnpKdsItem leaf = item_of(result, stated, SNP_KDS_VCEK, _SNP_KDS_KIND_INVALID),
                   chain = item_of(result, stated, SNP_KDS_VCEK_CHAIN, SNP_KDS_VLEK_CHAIN),
                   list = item_of(result, stated, SNP_KDS_VCEK_CRL, SNP_KDS_VLEK_CRL);
        int r;

        if (leaf.generation < 0)
                return error_set(reterr, -ENOENT,
                                "version 2 reports do not name the processor, so AMD's key service cannot be asked; pass --generation (snpguest: -p milan)");
        if (result->step == SNP_STEP_REVOCATION)
                return snp_kds_fetch(k, &list, pool, reterr);
        if (lacks_leaf(result) && leaf.kind < 0)
                return error_set(reterr, -ENOENT,
                                "VLEK certificates come from the cloud provider, not from AMD's key service; pass yours with --leaf");
        r = snp_kds_has_chain(k, &chain, pool);
        if (r == 0)
                r = snp_kds_fetch(k, &chain, pool, reterr);
        if (r >= 0 && lacks_leaf(result))
                r = snp_kds_fetch(k, &leaf, pool, reterr);
        return r < 0 ? r : 0;
}

static size_t pool_size(const SnpCollateral *c) {
        return c->n_certificates + c->n_crls;
}

int snp_kds_verify(const SnpKds *k, const SnpVerifyInput *in, SnpResult *ret) {
        SnpKds trusting = *k;

        trusting.trust = in->trust;
        for (unsigned round = 0;; round++) {
                size_t before = pool_size(in->collateral);
                _cleanup_free_ char *why = NULL;
                int r = snp_verify(in, ret);

                if (r < 0)
                        return r;
                if ((ret->verdict != VERDICT_COLLATERAL_UNAVAILABLE && (round > 0 || !is_wrong_hint(ret))) ||
                                is_final(ret) || round == ROUNDS_MAX)
                        return 0;
                r = complete(&trusting, ret, in->generation, in->collateral, &why);
                if (r == -ENOMEM)
                        return r;
                if (r < 0) /* of a wrong hint the verdict stands */
                        return ret->verdict == VERDICT_COLLATERAL_UNAVAILABLE
                                        ? sentence_append(&ret->sentence, why)
                                        : 0;
                if (pool_size(in->collateral) == before)
                        return 0; /* nothing came that could change the verdict */
                snp_result_done(ret);
        }
}

void snp_kds_missing(const SnpResult *result, SnpGeneration stated, SnpKdsItem ret[static SNP_KDS_ITEMS_MAX],
                size_t *ret_n) {
        SnpKdsItem leaf = item_of(result, stated, SNP_KDS_VCEK, _SNP_KDS_KIND_INVALID);
        size_t n = 0;

        *ret_n = 0;
        if ((result->verdict != VERDICT_COLLATERAL_UNAVAILABLE && !is_wrong_hint(result)) ||
                        leaf.generation < 0)
                return;
        if (result->step == SNP_STEP_REVOCATION)
                ret[n++] = item_of(result, stated, SNP_KDS_VCEK_CRL, SNP_KDS_VLEK_CRL);
        else {
                if (lacks_leaf(result) && leaf.kind < 0)
                        return; /* VLEKs come from the cloud provider */
                ret[n++] = item_of(result, stated, SNP_KDS_VCEK_CHAIN, SNP_KDS_VLEK_CHAIN);
                if (lacks_leaf(result))
                        ret[n++] = leaf;
        }
        *ret_n = n;
}
