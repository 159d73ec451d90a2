/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The setup header of a kernel out of an image, and the same bytes as the text of its configuration. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernel-header.h"
#include "strutil.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = strndup((const char *) data, size);
        KernelHeader h;
        const char *value;

        assert(text);
        kernel_header_read(data, size, &h);
        assert(!h.bzimage || size >= 0x238);
        assert(h.bzimage || (!*h.full && !*h.version && !h.long_mode));
        assert(!h.efi_stub || (size >= 2 && data[0] == 'M'));
        for (const char *p = h.full; *p; p++)
                assert(*p >= ' ' && *p < 0x7f);
        /* What is used in a file's name has no blank, and is a part of what is shown. */
        assert(!strchr(h.version, ' ') && strncmp(h.full, h.version, strlen(h.version)) == 0);
        assert(!kernel_before_snp(h.version) || kernel_older(h.version, 6, 7));
        value = kernel_config_value(text, "CONFIG_SEV_GUEST");
        assert(strlen(value) == 1 && strchr("ymn", *value));
        assert(strcmp(value, "n") == 0 || strstr(text, "CONFIG_SEV_GUEST="));
        return 0;
}
