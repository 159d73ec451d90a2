/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One image of a container source: its layers, and what each has to be. OCI image specification 1.1; "docker save" for archives without
 * an index. */

#include "container-digest.h"
#include "container-source.h"

#define CONTAINER_JSON_MAX   ((size_t) 8 * 1024 * 1024)
#define CONTAINER_LAYERS_MAX 500u
#define CONTAINER_IMAGES_MAX 1000u /* of one source */

typedef struct ContainerLayer {
        char *place;             /* owned; the file's name in the source */
        ContainerDigest blob;    /* of the file; unknown in docker archives */
        ContainerDigest content; /* of what is compressed in it */
} ContainerLayer;

typedef struct ContainerImage {
        const char *kind;         /* "oci" or "docker-archive" */
        char *name;               /* owned; NULL: it has none */
        ContainerDigest manifest; /* docker archives: of the configuration, which is their image's id */
        ContainerLayer *layers;   /* owned; from the bottom */
        size_t n_layers;
} ContainerImage;

void container_image_done(ContainerImage *image);
/* wanted: NULL; a name, NAME:TAG or a tag; or the digest of a manifest, of an index above it, or of a docker archive's configuration, or its beginning. An image whose
 * name is exactly that comes before those that have it as a part. -ENOENT, -ENOTUNIQ with what is there. */
_warn_unused_result_ int container_choose(
                ContainerSource *s, const char *wanted, ContainerImage *ret, char **reterr);

/* --- inside this room ------------------------------------------------------------------------------------------------ */

/* Names of images, for messages: what strangers wrote, without what could move a cursor. */
typedef struct ContainerNames {
        char text[1024];
        size_t n;
} ContainerNames;
void container_names_add(ContainerNames *names, const char *name); /* NULL: it has none */
/* The same with the beginning of its digest, and its platform if that is said: each may be NULL. */
void container_names_add_image(ContainerNames *names, const char *name, const ContainerDigest *digest,
                const char *os, const char *machine);

/* How much of a name is what is wanted. */
typedef enum ContainerMatch {
        CONTAINER_MATCH_NONE,
        CONTAINER_MATCH_PART, /* its tag, the end of a longer name, or a name whose tag is wanted */
        CONTAINER_MATCH_EXACT,
} ContainerMatch;
ContainerMatch container_name_match(const char *name, const char *wanted);

_warn_unused_result_ int container_choose_oci(
                ContainerSource *s, const char *wanted, ContainerImage *ret, char **reterr);
_warn_unused_result_ int container_choose_docker(
                ContainerSource *s, const char *wanted, ContainerImage *ret, char **reterr);
/* The digests of the layers' content, from the configuration's text. */
_warn_unused_result_ int container_read_config(
                ContainerImage *image, const char *text, size_t size, char **reterr);
