/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What Glance will show of kernel and initrd: its size and its hash of the stored bytes, as of the files that are uploaded. */

#include <errno.h>
#include <string.h>

#include "crypto-hash.h"
#include "encode.h"
#include "error.h"
#include "export-cli.h"
#include "fd.h"

static int read_stored(const char *path, ExportStored *ret, char **ret_hex, char **reterr) {
        uint8_t digest[SHA512_SIZE];
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!path)
                return 0;
        fd = fd_open_regular(path, &ret->size);
        r = fd < 0 ? fd : hash_file_range(HASH_SHA512, fd, 0, ret->size, digest);
        if (r < 0)
                return error_set(reterr, r, "cannot read '%s': %s", path, strerror(-r));
        *ret_hex = hex_encode(digest, sizeof(digest));
        ret->sha512 = *ret_hex;
        return *ret_hex ? 0 : -ENOMEM;
}

int export_read_stored(ExportLaunch *l, char **reterr) {
        int r = read_stored(l->guest.kernel, &l->guest.kernel_stored, &l->kernel_sha512, reterr);

        return r < 0 ? r : read_stored(l->guest.initrd, &l->guest.initrd_stored, &l->initrd_sha512, reterr);
}
