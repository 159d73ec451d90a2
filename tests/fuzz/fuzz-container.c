/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A container image, as a stranger could have made it. First byte even: an archive of images. Odd: one layer, whose digest is right, in which
 * several paths are looked for. */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "container.h"
#include "fd.h"

static void find_all(ContainerSource *source, const ContainerImage *image) {
        static const char *const paths[] = { "/usr/f", "/h", "/x", "/usr", "/y/../usr/f" };

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                _cleanup_(container_file_done) ContainerFile file = {};
                _cleanup_free_ char *error = NULL;
                _cleanup_js_ Json *j = NULL;

                if (container_find(source, image, paths[i], &file, &error) < 0) {
                        assert(error);
                        continue;
                }
                assert(file.path && file.path[0] == '/' && !strstr(file.path, "/../"));
                assert(file.layer < image->n_layers && (file.data || file.size == 0));
                (void) !container_report(image, &file, &j);
        }
}

static int archive_of(const uint8_t *layer, size_t size) {
        char header[512] = "layer";
        int fd = memfd_new("fuzz");
        unsigned sum = 0;

        (void) snprintf(header + 100, 8, "0000644");
        (void) snprintf(header + 124, 12, "%011o", (unsigned) size & 0777777777);
        memset(header + 136, '0', 11);
        header[156] = '0';
        memcpy(header + 257, "ustar\00000", 8);
        memset(header + 148, ' ', 8);
        for (size_t i = 0; i < sizeof(header); i++)
                sum += (uint8_t) header[i];
        (void) snprintf(header + 148, 8, "%06o", sum);
        assert(fd >= 0 && fd_write_all(fd, header, sizeof(header)) >= 0);
        assert(fd_write_all(fd, layer, size) >= 0);
        assert(ftruncate(fd, (off_t) (512 + (size + 511) / 512 * 512 + 1024)) >= 0);
        return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_container_source_ ContainerSource *source = NULL;
        _cleanup_(container_image_done) ContainerImage image = {};
        _cleanup_free_ char *error = NULL;
        _cleanup_close_ int fd = -EBADF;

        if (size == 0)
                return 0;
        fd = data[0] & 1 ? archive_of(data + 1, size - 1) : memfd_new_sealed("fuzz", data + 1, size - 1);
        assert(fd >= 0 && container_open_archive(fd, &source) >= 0);
        if (data[0] & 1) {
                image.kind = "oci";
                image.layers = calloc(1, sizeof(ContainerLayer));
                assert(image.layers);
                image.n_layers = 1;
                image.layers[0].place = strdup("layer");
                image.layers[0].content = (ContainerDigest) { .algorithm = HASH_SHA256, .known = true };
                assert(hash_digest(HASH_SHA256, data + 1, size - 1, image.layers[0].content.bytes) >= 0);
        } else if (container_choose(source, NULL, &image, &error) < 0) {
                assert(error);
                return 0;
        }
        find_all(source, &image);
        return 0;
}
