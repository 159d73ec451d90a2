/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Verifying with what is at hand, and fetching what turns out to be missing. */

#include <errno.h>
#include <stdio.h>

#include "error.h"
#include "snp-kds.h"
#include "strutil.h"

#define ROUNDS_MAX 4u /* leaf, chain and revocation list: three fetches at most lie between two verdicts */

/* No leaf, or one for another TCB or chip: after an update a host hands out the certificate of yesterday. */
static bool lacks_leaf(const SnpResult *r) {
        return !r->leaf || r->step == SNP_STEP_TCB || r->step == SNP_STEP_CHIP;
}

/* A leaf that nobody named and that is none for this report: the service may have the right one. */
static bool is_wrong_hint(const SnpResult *r) {
        return r->verdict == VERDICT_NOT_AUTHENTIC && r->leaf && !r->leaf->named &&
                        r->leaf->role == SNP_ROLE_VCEK && lacks_leaf(r);
}

/* What fails here is not genuine, whatever the report says. */
static bool is_about_certificates(const SnpResult *r) {
        return r->verdict == VERDICT_NOT_AUTHENTIC &&
                        (r->step == SNP_STEP_ROOT || r->step == SNP_STEP_INTERMEDIATE ||
                                        r->step == SNP_STEP_LEAF || r->step == SNP_STEP_EXTENSIONS);
}

static SnpKdsItem item_of(const SnpResult *r, SnpGeneration stated, SnpKdsKind vcek, SnpKdsKind vlek) {
        return (SnpKdsItem) {
                .kind = r->report.signing_key == SNP_SIGNING_KEY_VLEK ? vlek : vcek,
                .generation = r->generation >= 0 ? r->generation : stated,
                .report = &r->report,
        };
}

static int complete(const SnpKds *k, const SnpResult *result, SnpGeneration stated, SnpCollateral *pool,
                char **reterr) {
        SnpKdsItem leaf = item_of(result, stated, SNP_KDS_VCEK, _SNP_KDS_KIND_INVALID),
                   chain = item_of(result, stated, SNP_KDS_VCEK_CHAIN, SNP_KDS_VLEK_CHAIN),
                   list = item_of(result, stated, SNP_KDS_VCEK_CRL, SNP_KDS_VLEK_CRL);
        int r;

        if (leaf.generation < 0)
                return error_set(reterr, -ENOENT,
                                "a version 2 report does not say its processor, so that AMD's key service "
                                "cannot be asked; state --generation");
        if (result->step == SNP_STEP_REVOCATION)
                return snp_kds_fetch(k, &list, pool, reterr);
        if (lacks_leaf(result)) {
                if (leaf.kind < 0)
                        return error_set(reterr, -ENOENT,
                                        "VLEK certificates come from the cloud provider, not from AMD's key "
                                        "service; give it with --leaf");
                r = snp_kds_fetch(k, &leaf, pool, reterr);
                if (r < 0)
                        return r;
        }
        return snp_kds_fetch(k, &chain, pool, reterr);
}

/* Whoever brings certificates of his own must not be able to spoil the opinion about the cache's. */
static bool all_from_service(const SnpCollateral *c) {
        for (size_t i = 0; i < c->n_certificates; i++)
                if (!streq(c->certificates[i]->origin, SNP_KDS_ORIGIN))
                        return false;
        return true;
}

/* Forged certificates from a mirror would else be in the way at every later verification. */
static void forget(const SnpKds *k, const SnpResult *result, SnpGeneration stated) {
        SnpKdsItem leaf = item_of(result, stated, SNP_KDS_VCEK, _SNP_KDS_KIND_INVALID),
                   chain = item_of(result, stated, SNP_KDS_VCEK_CHAIN, SNP_KDS_VLEK_CHAIN);

        if (leaf.kind >= 0)
                snp_kds_forget(k, &leaf);
        snp_kds_forget(k, &chain);
}

static int append_sentence(SnpResult *r, const char *more) {
        char *both = NULL;

        if (!more)
                return 0;
        if (asprintf(&both, "%s; %s", r->sentence ?: "", more) < 0)
                return -ENOMEM;
        free(r->sentence);
        r->sentence = both;
        return 0;
}

int snp_kds_verify(const SnpKds *k, const SnpVerifyInput *in, SnpResult *ret) {
        for (unsigned round = 0;; round++) {
                _cleanup_free_ char *why = NULL;
                int r = snp_verify(in, ret);

                if (r < 0)
                        return r;
                if (is_about_certificates(ret) && all_from_service(in->collateral))
                        forget(k, ret, in->generation);
                if ((ret->verdict != VERDICT_COLLATERAL_UNAVAILABLE && (round > 0 || !is_wrong_hint(ret))) ||
                                round == ROUNDS_MAX)
                        return 0;
                r = complete(k, ret, in->generation, in->collateral, &why);
                if (r == -ENOMEM)
                        return r;
                if (r < 0) /* of a wrong hint the verdict stands */
                        return ret->verdict == VERDICT_COLLATERAL_UNAVAILABLE ? append_sentence(ret, why)
                                                                              : 0;
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
                if (lacks_leaf(result))
                        ret[n++] = leaf;
                ret[n++] = item_of(result, stated, SNP_KDS_VCEK_CHAIN, SNP_KDS_VLEK_CHAIN);
        }
        *ret_n = n;
}
