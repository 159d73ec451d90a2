/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The digests by which the parts of a container image name each other: OCI image specification 1.1, descriptor.md. */

#include <stdbool.h>

#include "crypto-hash.h"

typedef struct ContainerDigest {
        HashAlgorithm algorithm;
        uint8_t bytes[HASH_SIZE_MAX];
        bool known; /* false: nobody says what it is */
} ContainerDigest;

/* "sha256:HEX" or "sha512:HEX", lower case. -EINVAL. */
_warn_unused_result_ int container_digest_parse(const char *s, ContainerDigest *ret);
/* A digest as people choose by one, "[NAME@]ALGORITHM:HEX" or its beginning: ALGORITHM:HEX; NULL: it is a name. */
#define CONTAINER_DIGEST_SHORT 12u
const char *container_digest_wanted(const char *wanted);
bool container_digest_matches(const ContainerDigest *d, const char *wanted);
/* Owned; NULL: out of memory. */
char *container_digest_text(const ContainerDigest *d);
/* "blobs/sha256/HEX", owned; NULL: out of memory. */
char *container_digest_place(const ContainerDigest *d);
/* Of bytes that were hashed with its algorithm: -EBADMSG with an error message if they are others. */
_warn_unused_result_ int container_digest_compare(
                const ContainerDigest *d, const uint8_t *found, const char *what, char **reterr);
/* The same for bytes in memory. */
_warn_unused_result_ int container_digest_check(
                const ContainerDigest *d, const void *p, size_t n, const char *what, char **reterr);
