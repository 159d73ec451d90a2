/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files for QEMU's -readconfig. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fd.h"
#include "foreign-qemu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const ForeignPlace place = {};
        _cleanup_(qemu_line_done) QemuLine line = { .program = "qemu-kvm", .place = &place };
        _cleanup_close_ int fd = memfd_new_sealed("config", data, size);
        _cleanup_free_ char *error = NULL;
        char path[64];

        if (fd < 0)
                abort();
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (qemu_line_config(&line, path, &error) < 0 && !error)
                abort();
        return 0;
}
