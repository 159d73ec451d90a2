/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Unified kernel images. What is taken from one lies within it. */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fd.h"
#include "resolve-uki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(const UkiRange *range, size_t size) {
        assert(!range->present || (range->offset <= size && range->size <= size - range->offset));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_close_ int fd = memfd_new_sealed("fuzz", data, size);
        _cleanup_(uki_done) Uki u = UKI_NONE;
        _cleanup_free_ char *error = NULL;
        char path[64];

        assert(fd >= 0);
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (uki_open(path, &u, &error) < 0) {
                assert(error && u.fd < 0);
                return 0;
        }
        assert(!u.found || u.linux_.present);
        inside(&u.linux_, size);
        inside(&u.initrd, size);
        inside(&u.cmdline, size);
        return 0;
}
