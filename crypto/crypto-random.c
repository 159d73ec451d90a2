/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "crypto-random.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

int crypto_random(_unused_ void *userdata, void *buf, size_t n) {
        uint8_t *p = buf;

        while (n > 0) {
                ssize_t k = getrandom(p, n, 0);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                p += k;
                n -= (size_t) k;
        }
        return 0;
}
