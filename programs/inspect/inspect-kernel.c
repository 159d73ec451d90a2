/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a bzImage says of itself, and its configuration. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "inspect.h"
#include "kernel-header.h"
#include "strutil.h"

static const char *const wanted[] = { "CONFIG_AMD_MEM_ENCRYPT", "CONFIG_SEV_GUEST", "CONFIG_TSM_REPORTS",
        "CONFIG_VIRTIO_CONSOLE", "CONFIG_EFI_COCO_SECRET" };

/* Distributions put config-VERSION beside the kernel, or into /boot. */
static int add_config(const char *path, const char *version, Json *j) {
        _cleanup_free_ char *text = NULL;
        Json *config = NULL;
        int r = kernel_config_beside(path, version, &text);

        if (r >= 0 && !text)
                r = kernel_config_beside("/boot/", version, &text);
        if (r < 0 || !text)
                return r < 0 ? r : js_set(j, "config", js_null());
        config = js_object();
        r = config ? 0 : -ENOMEM;
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(wanted); i++)
                r = js_set(config, wanted[i], js_string(kernel_config_value(text, wanted[i])));
        if (r < 0) {
                js_unref(config);
                return r;
        }
        return js_set(j, "config", config);
}

/* SEV-SNP guests: Linux 5.19; the TSM report interface: 6.7. */
static const char *readiness(const char *version) {
        unsigned major, minor;

        if (sscanf(version, "%4u.%4u", &major, &minor) != 2)
                return "unknown";
        if (kernel_before_snp(version))
                return "too old: SEV-SNP guests need Linux 5.19";
        return kernel_older(version, 6, 7) ? "yes, without the TSM report interface (Linux 6.7)" : "yes";
}

int inspect_kernel(const char *path, Json *j, char **reterr) {
        _cleanup_free_ char *protocol = NULL;
        uint8_t setup[KERNEL_SETUP_MAX] = {};
        _cleanup_close_ int fd = -EBADF;
        KernelHeader header;
        uint64_t size;
        size_t n;
        int r;

        fd = fd_open_regular(path, &size);
        if (fd < 0)
                return error_set(reterr, fd, "cannot open '%s': %s", path, strerror(-fd));
        n = (size_t) MIN(size, (uint64_t) sizeof(setup));
        r = fd_pread_exact(fd, setup, n, 0);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        kernel_header_read(setup, n, &header);
        if (!header.bzimage)
                return error_set(reterr, -EBADMSG,
                                "'%s' is not a bzImage: QEMU adds no kernel hashes for it, so the firmware would refuse it",
                                path);
        if (asprintf(&protocol, "%u.%02u", header.protocol_major, header.protocol_minor) < 0)
                return -ENOMEM;
        r = js_set(j, "size", js_u64(size));
        if (r >= 0)
                r = js_set(j, "boot-protocol", js_string(protocol));
        if (r >= 0)
                r = js_set(j, "64-bit", js_bool(header.long_mode));
        if (r >= 0)
                r = js_set(j, "efi-stub", js_bool(header.efi_stub));
        if (r >= 0)
                r = js_set(j, "version", *header.full ? js_string(header.full) : js_null());
        if (r >= 0)
                r = js_set(j, "snp-guest", js_string(readiness(header.version)));
        return r < 0 || !*header.version ? r : add_config(path, header.version, j);
}
