/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Policy files. */

#include <stdint.h>
#include <stdlib.h>

#include "snp-policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Json *j = NULL, *waived = NULL;
        char *error = NULL;
        SnpPolicy p;

        if (js_parse((const char *) data, size, &j, NULL) < 0)
                return 0;
        snp_policy_init(&p);
        if (snp_policy_read(j, &p, &error) < 0) {
                if (!error)
                        abort();
        } else if (snp_policy_waived(&p, &waived) == 0)
                js_unref(waived);
        free(error);
        snp_policy_done(&p);
        js_unref(j);
        return 0;
}
