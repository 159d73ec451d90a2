/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A compressed firmware volume: nothing larger than allowed comes of it, and exactly what its header names. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "bytes.h"
#include "lzma-unpack.h"

#define UNPACKED_MAX ((size_t) 256 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ uint8_t *plain = NULL;
        _cleanup_free_ char *error = NULL;
        size_t n;

        if (lzma_unpack(data, size, UNPACKED_MAX, &plain, &n, &error) < 0)
                assert(!plain && error);
        else
                assert(n <= UNPACKED_MAX && n == le64_read(data + 5));
        return 0;
}
