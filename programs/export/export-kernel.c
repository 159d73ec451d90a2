/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the exported kernel says of itself, and whether it is too old for an SNP guest. */

#include <errno.h>
#include <string.h>

#include "export-cli.h"
#include "fd.h"
#include "kernel-header.h"
#include "log.h"
#include "strutil.h"

static void read_header(const char *path, KernelHeader *ret) {
        uint8_t setup[KERNEL_SETUP_MAX] = {};
        _cleanup_close_ int fd = -EBADF;
        uint64_t size = 0;
        bool read;

        fd = fd_open_regular(path, &size);
        read = fd >= 0 && fd_pread_exact(fd, setup, (size_t) MIN(size, (uint64_t) sizeof(setup)), 0) >= 0;
        kernel_header_read(setup, read ? sizeof(setup) : 0, ret);
}

int export_check_kernel(const ExportGuest *g, char ***notices) {
        _cleanup_free_ char *config = NULL;
        KernelHeader header;
        const char *driver;
        int r;

        if (!g->kernel || !coco_of(g->mode)->guest_report)
                return 0;
        read_header(g->kernel, &header);
        /* What is not a bzImage says nothing of itself; that it has no kernel hashes is said where it is resolved. */
        if (!header.bzimage)
                return 0;
        r = kernel_config_beside(g->kernel, header.version, &config);
        if (r < 0)
                return r;
        driver = config ? kernel_config_value(config, "CONFIG_SEV_GUEST") : NULL;
        log_notice("kernel '%s': Linux %s, %s EFI stub%s%s", g->kernel,
                        *header.version ? header.version : "of an unknown version",
                        header.efi_stub ? "with an" : "without an", driver ? ", CONFIG_SEV_GUEST=" : "",
                        driver ?: "");
        if (kernel_before_snp(header.version))
                r = strv_pushf(notices, "'%s' is Linux %s: an SEV-SNP guest needs Linux 5.19 or later",
                                g->kernel, header.version);
        if (r >= 0 && driver && streq(driver, "n"))
                r = strv_pushf(notices,
                                "'%s' is built without CONFIG_SEV_GUEST: an SEV-SNP guest cannot get attestation reports from it",
                                g->kernel);
        return r;
}
