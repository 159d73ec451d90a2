/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Theory of operation: MRTD is SHA-384 over 128 byte blocks. Adding a page hashes one block with the call's name at its beginning and
 * the page's address at byte 16; extending hashes such a block for each 256 bytes of a page and then those bytes, as two more
 * blocks (Intel 348549 and 348551). Written from these documents only, as plainly as they say it. */

#include <errno.h>
#include <string.h>

#include "sim-bytes.h"
#include "sim-tdx.h"

static int hash_block(SimTdx *t, const char *call, uint64_t gpa) {
        uint8_t block[128] = {};

        memcpy(block, call, strlen(call));
        put_le64(block + 16, gpa);
        return EVP_DigestUpdate(t->mrtd, block, sizeof(block)) ? 0 : -EIO;
}

int tdx_measure_begin(SimTdx *t) {
        t->mrtd = EVP_MD_CTX_new();
        return t->mrtd && EVP_DigestInit_ex(t->mrtd, EVP_sha384(), NULL) ? 0 : -ENOMEM;
}

int tdx_measure_add(SimTdx *t, uint64_t gpa) {
        return hash_block(t, "MEM.PAGE.ADD", gpa);
}

int tdx_measure_extend(SimTdx *t, uint64_t gpa, const uint8_t chunk[static 256]) {
        int r = hash_block(t, "MR.EXTEND", gpa);

        return r < 0 ? r : EVP_DigestUpdate(t->mrtd, chunk, 256) ? 0 : -EIO;
}

int tdx_measure_end(SimTdx *t) {
        int ok = EVP_DigestFinal_ex(t->mrtd, t->digest, NULL);

        EVP_MD_CTX_free(t->mrtd);
        t->mrtd = NULL;
        return ok ? 0 : -EIO;
}
