/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <stdbool.h>

#include "json.h"

/* A bzImage: boot protocol, version, and whether it is built for a confidential guest as far as that can be told. */
_warn_unused_result_ int inspect_kernel(const char *path, Json *j, char **reterr);
/* The sections of a unified kernel image, with their SHA-256, and what systemd-stub measures of them. -EBADMSG with an error message: it is not one, or a damaged one. */
_warn_unused_result_ int inspect_uki(const char *path, Json *j, char **reterr);
/* What is in a disk image, as 'cvmspawn extract' finds it: all of it, or the members that people look for. */
_warn_unused_result_ int inspect_image(const char *path, bool all, Json *j, char **reterr);

typedef enum InspectKind {
        INSPECT_FIRMWARE,
        INSPECT_KERNEL,
        INSPECT_UKI,
        INSPECT_IMAGE,
        INSPECT_INITRD,
        INSPECT_CPIO,
        _INSPECT_KIND_MAX,
        _INSPECT_KIND_INVALID = -EINVAL,
} InspectKind;

InspectKind inspect_kind_from_string(const char *s);
const char *inspect_kind_to_string(InspectKind kind);
/* What the file begins and ends with, or else its name's ending. -EBADMSG with an error message: none of these; -errno. Only what is shown
 * depends on it. */
_warn_unused_result_ int inspect_find_kind(const char *path, InspectKind *ret, char **reterr);
