/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One file out of a container image. Everything that is read here was written by somebody else: this runs in a process that can do nothing
 * else. */

#include "container-image.h"
#include "json.h"

typedef struct ContainerFile {
        char *path; /* owned; where the links led to, absolute */
        size_t layer;
        uint8_t *data; /* owned */
        size_t size;
        unsigned outside; /* entries of the layers that were ignored, since their names lead outside */
} ContainerFile;

void container_file_done(ContainerFile *f);
/* -ENOENT, -EISDIR, -ELOOP and what a bad image gives, with an error message. Links are followed inside of the image only. */
_warn_unused_result_ int container_find(ContainerSource *source, const ContainerImage *image,
                const char *path, ContainerFile *ret, char **reterr);
/* For the user: image, layer and file. */
_warn_unused_result_ int container_report(
                const ContainerImage *image, const ContainerFile *file, Json **ret);
