/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "initrd-input.h"

#include <errno.h>
#include <string.h>

#include "fd.h"
#include "overflow.h"

int initrd_input_open(InitrdInput *ret, int fd, uint64_t offset, uint64_t length) {
        uint64_t end;
        uint8_t *buf;

        if (!add_u64(offset, length, &end) || end > (uint64_t) INT64_MAX)
                return -EFBIG;
        buf = malloc(INITRD_INPUT_WINDOW);
        if (!buf)
                return -ENOMEM;
        *ret = (InitrdInput) { .fd = fd, .base = offset, .size = length, .buf = buf };
        return 0;
}

void initrd_input_done(InitrdInput *in) {
        free(in->buf);
        in->buf = NULL;
}

int initrd_input_get(InitrdInput *in, uint64_t offset, const uint8_t **ret, size_t *ret_n) {
        int r;

        if (offset >= in->size) {
                *ret = in->buf;
                *ret_n = 0;
                return 0;
        }
        if (offset < in->start || offset - in->start >= in->filled) {
                size_t n = (size_t) MIN((uint64_t) INITRD_INPUT_WINDOW, in->size - offset);

                in->filled = 0;
                r = fd_pread_exact(in->fd, in->buf, n, in->base + offset);
                if (r < 0)
                        return r == -ENODATA ? -ESTALE : r;
                in->start = offset;
                in->filled = n;
        }
        *ret = in->buf + (offset - in->start);
        *ret_n = (size_t) (in->filled - (offset - in->start));
        return 0;
}

int initrd_input_read(InitrdInput *in, uint64_t offset, void *buf, size_t n) {
        if (offset > in->size || in->size - offset < n)
                return -ENODATA;

        /* A few bytes from elsewhere do not move the window. */
        if (n <= 64 && (offset < in->start || offset + n > in->start + in->filled)) {
                int r = fd_pread_exact(in->fd, buf, n, in->base + offset);

                return r == -ENODATA ? -ESTALE : r;
        }

        while (n > 0) {
                const uint8_t *p;
                size_t k;
                int r;

                r = initrd_input_get(in, offset, &p, &k);
                if (r < 0)
                        return r;
                k = MIN(k, n);
                memcpy(buf, p, k);
                buf = (uint8_t *) buf + k;
                offset += k;
                n -= k;
        }
        return 0;
}
