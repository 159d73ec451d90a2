/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "error.h"
#include "snp-kds.h"

int snp_kds_complete(const SnpKds *k, const SnpResult *result, SnpGeneration stated, SnpCollateral *pool,
                char **reterr) {
        bool vlek = result->report.signing_key == SNP_SIGNING_KEY_VLEK;
        SnpKdsItem item = { .generation = result->generation, .report = &result->report };
        int r;

        if (item.generation < 0)
                item.generation = stated;
        if (item.generation < 0)
                return error_set(reterr, -ENOENT,
                                "a version 2 report does not say its processor, so that AMD's key service "
                                "cannot be asked; "
                                "state --generation");
        if (result->step == SNP_STEP_REVOCATION) {
                item.kind = vlek ? SNP_KDS_VLEK_CRL : SNP_KDS_VCEK_CRL;
                return snp_kds_fetch(k, &item, pool, reterr);
        }
        if (!result->leaf) {
                if (vlek)
                        return error_set(reterr, -ENOENT,
                                        "VLEK certificates come from the cloud provider, not from AMD's key "
                                        "service; give it "
                                        "with --leaf");
                item.kind = SNP_KDS_VCEK;
                r = snp_kds_fetch(k, &item, pool, reterr);
                if (r < 0)
                        return r;
        }
        item.kind = vlek ? SNP_KDS_VLEK_CHAIN : SNP_KDS_VCEK_CHAIN;
        return snp_kds_fetch(k, &item, pool, reterr);
}
