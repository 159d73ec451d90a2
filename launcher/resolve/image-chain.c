/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "image-chain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "error.h"
#include "fd.h"
#include "image-header.h"
#include "resolve-parts.h"

#define STAND_ALONE "make the image stand alone with 'qemu-img convert'"

void image_chain_done(ImageChain *chain) {
        FOREACH_ARRAY(l, chain->layers, chain->n_layers)
                (void) fd_close(l->fd);
        *chain = (ImageChain) {};
}

static const char *option_of(bool data) {
        return data ? "data-file" : "backing-file";
}

static int add_layer(ImageChain *chain, const ImageSource *source, char **reterr) {
        _cleanup_close_ int fd = source->fd > 0
                        ? source->fd
                        : resolve_open_disk(source->option, source->path, source->read_only, reterr);
        struct stat st;

        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (source->format != IMAGE_FORMAT_RAW && !S_ISREG(st.st_mode))
                return error_set(reterr, -EINVAL,
                                "--%s: '%s' is a block device: only a regular file can be a %s image",
                                source->option, source->path, image_format_to_string(source->format));
        chain->layers[chain->n_layers++] = (ImageLayer) {
                .fd = TAKE_FD(fd),
                .path = source->path,
                .format = source->format,
                .block_device = S_ISBLK(st.st_mode),
                .read_only = source->read_only,
        };
        return 0;
}

/* Where a name in the header of `image` leads: from the directory of the image. Owned. */
static char *locate(const char *image, const char *name) {
        const char *slash = strrchr(image, '/');
        char *path;

        if (*name == '/' || !slash)
                return strdup(name);
        return asprintf(&path, "%.*s/%s", (int) (slash - image), image, name) < 0 ? NULL : path;
}

/* The option's file that is this one, or NULL. */
static const ImageFile *find_file(const VmConfig *config, const char *path, bool data) {
        struct stat wanted, st;

        if (stat(path, &wanted) < 0)
                return NULL;
        FOREACH_ARRAY(f, config->image_files, config->n_image_files)
                if (f->data == data && stat(f->path, &st) >= 0 && st.st_dev == wanted.st_dev &&
                                st.st_ino == wanted.st_ino)
                        return f;
        return NULL;
}

/* From one layer to the file that its header names. */
typedef struct Step {
        const char *option; /* that names the layer */
        const ImageLayer *layer;
        const ImageHeader *header;
        bool data;
} Step;

static int refuse(const Step *step, const char *path, char **reterr) {
        bool format = !step->data && step->header->backing_format[0];

        return error_set(reterr, -EPERM,
                        "--%s: '%s' has %s, '%s', which its guest could have chosen: allow it with --%s=%s%s%s, or " STAND_ALONE,
                        step->option, step->layer->path,
                        step->data ? "an external data file" : "a backing file",
                        step->data ? step->header->data : step->header->backing, option_of(step->data),
                        format ? step->header->backing_format : "", format ? ":" : "", path);
}

/* A raw backing file that begins like an image: its guest could have written that while it was a disk. */
static int backing_format(const ImageFile *file, int fd, ImageFormat *ret, char **reterr) {
        const char *signature = image_header_signature(fd);

        *ret = file->format == IMAGE_FORMAT_AUTO ? IMAGE_FORMAT_RAW : file->format;
        if (file->format != IMAGE_FORMAT_AUTO || !signature)
                return 0;
        return error_set(reterr, -EPERM,
                        "--backing-file: '%s' begins with the signature of a %s image, which a guest can write to a raw disk: pass --backing-file=raw:PATH, or --backing-file=qcow2:PATH only if it was made as qcow2",
                        file->path, signature);
}

/* Adds the file that a header names; *ret is its index. */
static int follow(
                ImageChain *chain, const VmConfig *config, const Step *step, unsigned *ret, char **reterr) {
        const char *name = step->data ? step->header->data : step->header->backing;
        _cleanup_free_ char *path = NULL;
        const ImageFile *file;
        bool read_only;
        unsigned bit;
        int r;

        if (image_name_is_url(name))
                return error_set(reterr, -EPERM,
                                "--%s: '%s' names '%s' as its %s file, which is not the name of a file; URLs are not supported: " STAND_ALONE,
                                step->option, step->layer->path, name, step->data ? "data" : "backing");
        path = locate(step->layer->path, name);
        if (!path)
                return -ENOMEM;
        file = find_file(config, path, step->data);
        if (!file)
                return refuse(step, path, reterr);
        bit = 1u << (file - config->image_files);
        if (chain->files & bit)
                return error_set(reterr, -ELOOP, "--%s: '%s' is named twice in the headers of '%s'",
                                option_of(step->data), file->path, chain->layers[0].path);
        chain->files |= bit;
        /* What its guest writes goes to the data file of the image itself, and of no other layer. */
        read_only = step->layer != chain->layers || !step->data || step->layer->read_only;
        r = add_layer(chain,
                        &(const ImageSource) { option_of(step->data), file->path, file->format, read_only },
                        reterr);
        if (r < 0)
                return r;
        *ret = (unsigned) chain->n_layers - 1;
        return step->data
                        ? 0
                        : backing_format(file, chain->layers[*ret].fd, &chain->layers[*ret].format, reterr);
}

int image_chain_open(const ImageSource *image, const VmConfig *config, ImageChain *ret, char **reterr) {
        _cleanup_(image_chain_done) ImageChain chain = {};
        int r = add_layer(&chain, image, reterr);

        for (size_t i = 0; i < chain.n_layers && r >= 0; i++) {
                ImageLayer *l = chain.layers + i;
                ImageHeader header;
                Step step = { i == 0 ? image->option : "backing-file", l, &header, .data = false };

                if (l->format != IMAGE_FORMAT_QCOW2) {
                        r = image_header_check(step.option, l->path, l->fd, l->format, reterr);
                        continue;
                }
                r = image_header_read(step.option, l->path, l->fd, &header, reterr);
                if (r >= 0 && header.has_backing)
                        r = follow(&chain, config, &step, &l->backing, reterr);
                step.data = true;
                if (r >= 0 && header.has_data)
                        r = follow(&chain, config, &step, &l->data, reterr);
        }
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(chain, (ImageChain) {});
        return 0;
}
