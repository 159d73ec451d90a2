/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A disk image with the files that it names: each is opened here and by the name that the user gave, never by QEMU and never by the name
 * in a header. What the user did not name on the command line is refused, and so is a named file that is not the one in the header. */

#include <sys/types.h>

#include "config.h"
#include "macro.h"

#define IMAGE_LAYERS_MAX (IMAGE_FILES_MAX + 1)

typedef struct ImageLayer {
        int fd;             /* owned */
        const char *path;   /* weak */
        ImageFormat format; /* never AUTO */
        bool block_device, read_only;
        unsigned backing, data; /* indices of layers; 0: none */
} ImageLayer;

typedef struct ImageChain {
        ImageLayer layers[IMAGE_LAYERS_MAX]; /* the image is the first */
        size_t n_layers;
        unsigned files; /* bit i: the config's image_files[i] is among them */
} ImageChain;

typedef struct ImageSource {
        const char *option, *path; /* the option without its dashes */
        ImageFormat format;
        bool read_only;
        int fd; /* taken, if the image is open already and path only its name; 0: it is not */
} ImageSource;

void image_chain_done(ImageChain *chain);
/* Opens all of it, and looks at the headers by the very descriptors that are returned. */
_warn_unused_result_ int image_chain_open(
                const ImageSource *image, const VmConfig *config, ImageChain *ret, char **reterr);
