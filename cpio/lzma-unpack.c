/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lzma-unpack.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "fd.h"
#include "initrd-decompress.h"

#define HEADER_SIZE 13u /* properties, u32 dictionary, u64 size of the result */

typedef struct Result {
        uint8_t *data; /* owned */
        size_t size, filled;
} Result;

static void result_done(Result *r) {
        free(r->data);
}

static int take(const uint8_t *data, size_t n, void *userdata) {
        Result *r = userdata;

        if (n > r->size - r->filled)
                return -EBADMSG;
        memcpy(r->data + r->filled, data, n);
        r->filled += n;
        return 0;
}

int lzma_unpack(const uint8_t *data, size_t n, size_t max, uint8_t **ret, size_t *ret_size, char **reterr) {
        _cleanup_(result_done) Result result = {};
        _cleanup_(initrd_input_done) InitrdInput in = {};
        _cleanup_close_ int fd = -EBADF;
        uint64_t size, end;
        int r;

        if (n < HEADER_SIZE)
                return error_set(reterr, -EBADMSG, "the compressed data is truncated");
        size = le64_read(data + 5);
        if (size == 0 || size > max)
                return error_set(reterr, -E2BIG,
                                "the compressed data declares %llu bytes, expected 1 to %zu",
                                (unsigned long long) size, max);
        result = (Result) { .data = malloc((size_t) size), .size = (size_t) size };
        if (!result.data)
                return -ENOMEM;

        fd = memfd_new_sealed("cvmspawn-lzma", data, n);
        if (fd < 0)
                return fd;
        r = initrd_input_open(&in, fd, 0, n);
        if (r < 0)
                return r;
        r = initrd_decompress(&in, 0, INITRD_COMPRESSION_LZMA, take, &result, &end, reterr);
        if (r < 0)
                return reterr && *reterr
                                ? r
                                : error_set(reterr, r, "the compressed data cannot be decompressed: %s",
                                                  strerror(-r));
        if (result.filled != result.size)
                return error_set(
                                reterr, -EBADMSG, "the size of the compressed data differs from its header");
        *ret = TAKE_PTR(result.data);
        *ret_size = result.size;
        return 0;
}
