/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The first bytes of a disk image, which its guest can write. Whatever QEMU would open by it has a name here. */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "fd.h"
#include "image-header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_close_ int fd = memfd_new_sealed("fuzz", data, size);
        _cleanup_free_ char *error = NULL;
        const char *signature;
        ImageHeader h;

        assert(fd >= 0);
        signature = image_header_signature(fd);
        for (ImageFormat f = IMAGE_FORMAT_VMDK; f < _IMAGE_FORMAT_MAX; f++) {
                _cleanup_free_ char *why = NULL;
                int r = image_header_check("image", "image", fd, f, &why);

                assert(r >= 0 ? !why : why != NULL);
                /* A VMDK that QEMU would take for a list of files. */
                assert(r < 0 || f != IMAGE_FORMAT_VMDK || (signature && strcmp(signature, "vmdk") == 0));
        }
        if (image_header_read("image", "image", fd, &h, &error) < 0) {
                assert(error);
                return 0;
        }
        assert(signature && strcmp(signature, "qcow2") == 0 && size >= 72);
        assert(be32_read(data + 32) == 0); /* encryption */
        assert(h.has_backing == (be64_read(data + 8) != 0));
        assert(h.has_data == (be32_read(data + 4) == 3 && (data[79] & 4) != 0));
        /* Whatever names a file is known by a name that can be compared. */
        assert(!h.has_backing || (h.backing[0] && strlen(h.backing) <= IMAGE_NAME_MAX));
        assert(!h.has_data || (h.data[0] && strlen(h.data) <= IMAGE_NAME_MAX));
        assert(strlen(h.backing_format) < sizeof(h.backing_format));
        if (h.has_backing && strncmp(h.backing, "json:", 5) == 0)
                assert(image_name_is_url(h.backing));
        return 0;
}
