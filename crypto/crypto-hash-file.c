/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdlib.h>

#include "crypto-hash.h"
#include "fd.h"

#define BLOCK_SIZE (256u * 1024u)

int hash_file_range(HashAlgorithm a, int fd, uint64_t offset, uint64_t size, uint8_t *ret) {
        _cleanup_free_ uint8_t *block = malloc(BLOCK_SIZE);
        _cleanup_hash_ Hash *hash = NULL;
        int r = block ? hash_new(a, &hash) : -ENOMEM;

        while (r >= 0 && size > 0) {
                size_t n = (size_t) MIN(size, (uint64_t) BLOCK_SIZE);

                r = fd_pread_exact(fd, block, n, offset);
                if (r >= 0)
                        r = hash_update(hash, block, n);
                offset += n;
                size -= n;
        }
        return r < 0 ? r : hash_final(hash, ret);
}
