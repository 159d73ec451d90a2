/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a bzImage says of itself (Linux Documentation/arch/x86/boot.rst): its version, and whether it is too old for an SNP guest. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "export-cli.h"
#include "fd.h"
#include "strutil.h"

#define VERSION_OFFSET 0x20eu /* le16: where the version text begins, less 0x200 */
#define VERSION_MAX    128u
#define SNP_MAJOR      5u /* Linux 5.19 is the first that runs as an SNP guest */
#define SNP_MINOR      19u

/* The version text, or "". */
static void read_version(const char *path, char text[VERSION_MAX]) {
        _cleanup_close_ int fd = -EBADF;
        uint8_t at[2];
        uint64_t size, offset;

        *text = 0;
        fd = fd_open_regular(path, &size);
        if (fd < 0 || fd_pread_exact(fd, at, sizeof(at), VERSION_OFFSET) < 0)
                return;
        offset = 0x200u + (at[0] | (uint64_t) at[1] << 8);
        if (offset == 0x200u || offset + VERSION_MAX > size ||
                        fd_pread_exact(fd, text, VERSION_MAX - 1, offset) < 0)
                *text = 0;
        text[VERSION_MAX - 1] = 0;
        text[strcspn(text, " \n")] = 0;
}

int export_check_kernel(const ExportGuest *g, char ***notices) {
        char version[VERSION_MAX];
        unsigned major, minor;

        if (!g->kernel || !coco_of(g->mode)->guest_report)
                return 0;
        read_version(g->kernel, version);
        text_flatten(version, VERSION_MAX - 1);
        if (sscanf(version, "%3u.%3u", &major, &minor) != 2 || major > SNP_MAJOR ||
                        (major == SNP_MAJOR && minor >= SNP_MINOR))
                return 0;
        return strv_pushf(notices, "'%s' is Linux %s: an SEV-SNP guest needs Linux 5.19 or later", g->kernel,
                        version);
}
