/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the first bytes of a disk image may decide: nothing. A guest can write them, and a format that is taken from them would let it
 * choose which files of the host QEMU opens at the next launch. */

#include "config.h"
#include "macro.h"

#define IMAGE_NAME_MAX 1023u /* QEMU docs/interop/qcow2.txt, backing_file_size */

/* What a qcow2 header says of other files (QEMU docs/interop/qcow2.txt). Nobody opens these names. */
typedef struct ImageHeader {
        bool has_backing, has_data;
        char backing[IMAGE_NAME_MAX + 1], data[IMAGE_NAME_MAX + 1];
        char backing_format[16]; /* empty: not said */
} ImageHeader;

/* The format whose signature the image begins with, "qcow2", "vmdk" ...; NULL: none that is known here. */
const char *image_header_signature(int fd);

/* The option names the image in error messages, without its dashes. -EBADMSG, -EPERM for what is not qcow2, or is encrypted. */
_warn_unused_result_ int image_header_read(
                const char *option, const char *path, int fd, ImageHeader *ret, char **reterr);
/* Of formats whose headers QEMU follows: -EPERM where they name other files, or the disk is a part of one. */
_warn_unused_result_ int image_header_check(
                const char *option, const char *path, int fd, ImageFormat format, char **reterr);
/* QEMU would open more than a file by it: a protocol or a description in JSON (block.c, path_has_protocol()). */
bool image_name_is_url(const char *name);
