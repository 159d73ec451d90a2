/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Keys that OpenSSL's store opens by a URI: what the store finds is the input. */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto-ec.h"
#include "fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_close_ int fd = memfd_new_sealed("fuzz", data, size);
        _cleanup_ec_key_ EcKey *key = NULL;
        _cleanup_free_ char *error = NULL;
        char uri[64];
        EcPoint p;

        assert(fd >= 0);
        (void) snprintf(uri, sizeof(uri), "file:/proc/self/fd/%d", fd);
        if (ec_key_open(uri, &key, &error) < 0)
                assert(!key && error);
        else
                assert(ec_key_point(key, &p) >= 0);
        return 0;
}
