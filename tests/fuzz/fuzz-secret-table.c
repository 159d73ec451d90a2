/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Tables of secrets. What must hold for any input: a table that was read builds again to the same bytes, but for the padding. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "attest-secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(secret_table_done) SecretTable t = {};
        _cleanup_(secret_buf_done) SecretBuf again = {};
        _cleanup_free_ char *error = NULL;
        int r;

        r = secret_table_parse(data, size, &t, &error);
        if (r < 0) {
                assert(error && t.n_items == 0);
                return 0;
        }
        r = secret_table_build(&t, /* pad_always= */ false, &again);
        assert(r >= 0);
        /* the input may have been cut inside its padding */
        assert(memcmp(again.data, data, again.size < size ? again.size : size) == 0);
        return 0;
}
