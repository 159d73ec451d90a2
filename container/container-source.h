/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files that make up a container image: in a folder (OCI image layout) or in a tar archive (the same, or what "docker save" writes).
 * All descriptors are open before anything is read, so that the reader can be a process that may open nothing. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define CONTAINER_BLOBS_MAX   1000u  /* files of a folder: a descriptor each; an image has some 10 to 130 */
#define CONTAINER_MEMBERS_MAX 65536u /* members of an archive of images */

typedef struct ContainerSource ContainerSource;

ContainerSource *container_source_free(ContainerSource *s); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(ContainerSource *, container_source_free);
#define _cleanup_container_source_ _cleanup_(container_source_freep)

/* A folder: all its files are opened. An archive: the descriptor stays the caller's. Error messages name neither. */
_warn_unused_result_ int container_open_folder(int fd, ContainerSource **ret, char **reterr);
_warn_unused_result_ int container_open_archive(int fd, ContainerSource **ret);

typedef struct ContainerStream ContainerStream;

ContainerStream *container_stream_free(ContainerStream *s); /* takes NULL; returns NULL */
DEFINE_TRIVIAL_CLEANUP_FUNC(ContainerStream *, container_stream_free);
#define _cleanup_container_stream_ _cleanup_(container_stream_freep)

/* -ENOENT without a message: the file is missing. */
_warn_unused_result_ int container_stream_open(
                ContainerSource *s, const char *name, ContainerStream **ret, char **reterr);
/* *ret_size 0: the end. *ret is valid until the next call. */
_warn_unused_result_ int container_stream_read(
                ContainerStream *s, const uint8_t **ret, size_t *ret_size, char **reterr);
/* A small file whole, with a NUL after it. -E2BIG with an error message. */
_warn_unused_result_ int container_read(ContainerSource *s, const char *name, size_t max, char **ret,
                size_t *ret_size, char **reterr);
