/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What one layer says about one path: OCI image specification 1.1, layer.md. Nothing is unpacked. */

#include "container-image.h"
#include "container-path.h"
#include "tar-reader.h"

#define CONTAINER_FILE_MAX    ((size_t) 64 * 1024 * 1024) /* ample for firmware, and for kernels */
#define CONTAINER_LAYER_MAX   (UINT64_C(8) << 30) /* what a layer may be unpacked: a bomb is larger */
#define CONTAINER_ENTRIES_MAX 4000000u            /* of a layer */
#define CONTAINER_ALIKE_MAX   4u                  /* files of the same name elsewhere, as a hint */

/* What the layer's last entry of that name is. */
typedef struct ContainerLevel {
        bool there;
        TarType type;
        char *target; /* owned; of links */
} ContainerLevel;

typedef struct ContainerSearch {
        char path[CONTAINER_PATH_MAX];
        size_t n_levels;
        ContainerLevel levels
                        [CONTAINER_LEVELS_MAX]; /* of the path's components; the last is the path itself */
        bool deleted; /* from the layers below: a whiteout of the path or a folder above it, or an opaque one */
        uint8_t *data; /* owned; of the file */
        size_t size, allocated;
        unsigned outside;                 /* entries with ".." in their names: ignored */
        char *alike[CONTAINER_ALIKE_MAX]; /* owned; paths */
        size_t n_alike;
} ContainerSearch;

void container_search_done(ContainerSearch *s);
/* The layer is read to its end, and has to have its digests. */
_warn_unused_result_ int container_search_layer(ContainerSource *source, const ContainerImage *image,
                size_t layer, ContainerSearch *s, char **reterr);
