/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One file inside a firmware image, found by its GUID: does it hold a program?
 *
 * Theory of operation (UEFI PI specification 1.7, volume 3). An image is a row of firmware volumes. A volume with a file system
 * is a header and files, each on a multiple of 8 bytes: GUID, checksums, type, size, state. A file consists of sections, each on
 * a multiple of 4 bytes: size, type. A file of type "firmware volume image" holds further volumes, which edk2 puts into
 * an LZMA-compressed section: decompressing is the caller's business.
 *
 * What is not understood is an error: a file that was overlooked would be a wrong answer. */

#include <stddef.h>
#include <stdint.h>

#include "encode.h"

/* Volumes in files in volumes: real images have two levels. */
#define FIRMWARE_VOLUME_DEPTH_MAX 4u
/* Files and sections looked at in one image: real ones have about 120 and 20. */
#define FIRMWARE_VOLUME_ITEMS_MAX 8192u
/* Compressed sections: real images have one, of 16 MiB when unpacked. */
#define FIRMWARE_VOLUME_UNPACK_MAX 4u
#define FIRMWARE_VOLUME_SIZE_MAX   (64u * 1024u * 1024u)

typedef enum FirmwareFile {
        FIRMWARE_FILE_ABSENT, /* there is no file of that GUID */
        FIRMWARE_FILE_HIDDEN, /* none was seen, but a section could not be looked into */
        FIRMWARE_FILE_EMPTY,  /* it has no program, or one of zero bytes */
        FIRMWARE_FILE_OTHER,  /* its program is not a PE image */
        FIRMWARE_FILE_PE,
        _FIRMWARE_FILE_MAX,
} FirmwareFile;

/* Decompresses a section's content into at most FIRMWARE_VOLUME_SIZE_MAX bytes, which the caller frees. -errno with an error message. */
typedef int (*firmware_unpack_t)(const uint8_t *data, size_t n, uint8_t **ret, size_t *ret_size,
                void *userdata, char **reterr);

/* Looks for the file in all volumes of an image. unpack: for LZMA-compressed sections; NULL leaves them shut. -EBADMSG with a
 * sentence for what is damaged or not understood, also for a second file of that GUID. */
_warn_unused_result_ int firmware_volume_find(const uint8_t *image, size_t size, const Guid *name,
                firmware_unpack_t unpack, void *userdata, FirmwareFile *ret, char **reterr);
