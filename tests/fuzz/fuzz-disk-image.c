/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A disk image, as a guest could have left it: formats, partition tables, FAT, and what boot loaders read. The first byte says whether it
 * is read as qcow2. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>

#include "fd.h"
#include "image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_close_ int fd = -EBADF, null = fd_open("/dev/null", O_WRONLY, 0);
        _cleanup_(image_done) Image image = {};
        _cleanup_free_ char *error = NULL;
        _cleanup_js_ Json *j = NULL;
        const ImageChoice any = {};
        size_t chosen;

        if (size == 0)
                return 0;
        fd = memfd_new_sealed("fuzz", data + 1, size - 1);
        assert(fd >= 0 && null >= 0);
        if (image_open(fd, data[0] & 1 ? IMAGE_QCOW2 : IMAGE_RAW, NULL, &image, &error) < 0) {
                assert(error);
                return 0;
        }
        if (image_find_entries(&image, &error) < 0) {
                assert(error);
                return 0;
        }
        assert(image.entries.n_items <= BOOT_ENTRIES_MAX);
        if (image_choose(&image, &any, &chosen, &error) < 0) {
                assert(error);
                return 0;
        }
        /* Each that can be chosen is read, not only the first. */
        for (chosen = 0; chosen < image.entries.n_items; chosen++) {
                const BootEntry *e = image.entries.items + chosen;
                _cleanup_(image_parts_done) ImageParts parts = {};

                assert(e->id && e->file && (e->kernel || e->source == BOOT_UKI));
                if (image_locate(&image, e, &(ImageChoice) {}, &parts, NULL) < 0)
                        continue;
                assert(parts.kernel.size <= IMAGE_KERNEL_MAX);
                if (parts.kernel.size < size * 4)
                        (void) !image_write_kernel(&image, &parts, null, NULL);
                j = js_unref(j);
                (void) !image_report(&image, &chosen, &parts, &j, NULL);
        }
        return 0;
}
