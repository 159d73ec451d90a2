/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-kdf.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "crypto-hmac.h"
#include "secret.h"

#define KDF_BLOCKS_MAX 255u /* far above the one block that the SEV API needs */

int crypto_kdf_counter_le(const void *key, size_t key_size, const char *label, const void *context,
                size_t context_size, uint8_t *out, size_t size) {
        uint8_t block[HMAC_SHA256_SIZE], counter[4], length[4];
        const uint8_t zero = 0;
        int r = 0;

        if (size > KDF_BLOCKS_MAX * HMAC_SHA256_SIZE)
                return -E2BIG;

        le32_write(length, (uint32_t) size * 8);
        for (uint32_t i = 1; size > 0; i++) {
                size_t n = MIN(size, sizeof(block));

                le32_write(counter, i);
                const struct iovec message[] = {
                        HMAC_RANGE(counter, sizeof(counter)),
                        HMAC_RANGE(label, strlen(label)),
                        HMAC_RANGE(&zero, 1),
                        HMAC_RANGE(context, context_size),
                        HMAC_RANGE(length, sizeof(length)),
                };
                r = crypto_hmac_sha256(key, key_size, message, ELEMENTSOF(message), block);
                if (r < 0)
                        break;
                memcpy(out, block, n);
                out += n;
                size -= n;
        }
        erase_memory(block, sizeof(block));
        return r;
}
