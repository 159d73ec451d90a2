/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The host's certificate table, and the certificates in it. */

#include <stdint.h>
#include <stdlib.h>

#include "snp-collateral.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        SnpCollateral pool = {};
        char *error = NULL;
        SnpCertTable t;
        uint8_t sum = 0;

        if (snp_cert_table_decode(data, size, &t, &error) < 0) {
                if (!error)
                        abort();
                free(error);
                return 0;
        }
        for (size_t i = 0; i < t.n_entries; i++)
                for (size_t k = 0; k < t.entries[i].size; k++)
                        sum ^= t.entries[i].data[k]; /* within the buffer, or a sanitizer says so */
        if (snp_collateral_add_table(&pool, &t, "table") < 0 && sum == 0)
                abort();
        snp_collateral_done(&pool);
        return 0;
}
