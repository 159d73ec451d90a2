/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the kernel in an image says of itself, and config-VERSION. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "image.h"
#include "kernel-header.h"
#include "strutil.h"

static int add_config(Image *image, const ImagePart *kernel, const char *version, Json *to) {
        static const char *const directories[] = { "", "/boot", "/usr/lib/modules" };
        _cleanup_free_ char *text = NULL;

        if (strchr(version, '/'))
                return 0;
        for (size_t i = 0; !text && i < ELEMENTSOF(directories); i++) {
                _cleanup_free_ char *path = NULL;

                if (asprintf(&path, i == 2 ? "%s/%s/config" : "%s/config-%s", directories[i], version) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                for (size_t k = 0; !text && k < image->n_volumes; k++) {
                        /* The kernel's own first. */
                        size_t v = k == 0 ? kernel->volume : k <= kernel->volume ? k - 1 : k;

                        if (volume_text(&image->volumes[v], path, KERNEL_CONFIG_MAX, &text, NULL, NULL) ==
                                        -ENOMEM)
                                return -ENOMEM;
                }
        }
        return js_set(to, "sev-guest-driver",
                        text ? js_string(kernel_config_value(text, "CONFIG_SEV_GUEST")) : js_null());
}

int image_kernel_report(Image *image, const ImagePart *kernel, Json *to, char **reterr) {
        uint8_t setup[KERNEL_SETUP_MAX] = {};
        size_t n = (size_t) MIN(kernel->size, (uint64_t) sizeof(setup));
        KernelHeader header;
        int r = volume_read(
                        &image->volumes[kernel->volume], &kernel->file, kernel->offset, setup, n, reterr);

        if (r < 0)
                return error_prefix(reterr, r, "kernel '%s'", kernel->path);
        kernel_header_read(setup, sizeof(setup), &header);
        r = js_set(to, "bzimage", js_bool(header.bzimage));
        if (r >= 0)
                r = js_set(to, "version", *header.version ? js_string(header.version) : js_null());
        if (r >= 0)
                r = js_set(to, "efi-stub", js_bool(header.efi_stub));
        return r < 0 ? r : add_config(image, kernel, header.version, to);
}
