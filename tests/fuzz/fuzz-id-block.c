/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ID blocks and their authentication, by size; anything else as a signature. What must hold: what was decoded encodes to the same bytes. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "id-block.h"
#include "snp-id-block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *error = NULL, *error2 = NULL, *error3 = NULL;
        uint8_t block_again[SNP_ID_BLOCK_SIZE], auth_again[SNP_ID_AUTH_SIZE];
        EcSignature signature;
        SnpIdBlock block;
        SnpIdAuth auth;

        if (snp_id_block_decode(data, size, &block, &error) >= 0) {
                snp_id_block_encode(&block, block_again);
                assert(memcmp(block_again, data, sizeof(block_again)) == 0);
        } else
                assert(error);
        if (snp_id_auth_decode(data, size, &auth, &error2) >= 0) {
                snp_id_auth_encode(&auth, auth_again);
                assert(memcmp(auth_again, data, sizeof(auth_again)) == 0);
        } else
                assert(error2);
        assert(id_signature_read(data, size, &signature, &error3) >= 0 || error3);
        return 0;
}
