/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Certificates, their AMD extensions, and revocation lists, DER or PEM. */

#include <stdint.h>
#include <stdlib.h>

#include "snp-collateral.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        SnpCollateral pool = {};
        Certificate *c = NULL;
        Crl *crl = NULL;
        SnpLeaf leaf;

        if (certificate_new(data, size, &c, NULL) == 0) {
                /* What was read lies within the certificate. */
                for (size_t i = 0; i < c->n_extensions; i++)
                        if (c->extensions[i].value < c->der ||
                                        c->extensions[i].value + c->extensions[i].value_size >
                                                        c->der + c->size)
                                abort();
                if (!c->rsa == !c->ec)
                        abort();
                if (snp_leaf_read(c, &leaf, NULL) == 0 && leaf.generation < 0)
                        abort();
        }
        if (crl_new(data, size, &crl, NULL) == 0 && c && crl_holds(crl, c) < 0)
                abort();
        certificate_free(c);
        crl_free(crl);
        if (snp_collateral_add(&pool, data, size, "input", false, NULL) < 0 &&
                        pool.n_certificates > SNP_COLLATERAL_MAX)
                abort();
        snp_collateral_done(&pool);
        return 0;
}
