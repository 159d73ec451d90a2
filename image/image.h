/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A disk image, what could be booted from it, and the one that is chosen. Everything that is read here was written by somebody else, perhaps
 * by a guest: this runs in a process that can do nothing else. */

#include "boot-entry.h"
#include "json.h"
#include "qcow2.h"

#define IMAGE_KERNEL_MAX  (UINT64_C(256) << 20)
#define IMAGE_INITRD_MAX  (UINT64_C(2) << 30) /* QEMU's limit below 4 GiB is lower */
#define IMAGE_VOLUMES_MAX 64u

typedef struct Image {
        Qcow2 *qcow2;          /* owned; NULL: raw */
        BlockFailure *failure; /* owned; of the disk */
        Block disk;
        VolumeHelper *helper; /* owned; NULL: none */
        PartitionTable table;
        Volume *volumes; /* owned */
        size_t n_volumes;
        VolumeProbe *probes; /* owned; one for each partition, or one for the disk */
        char **notes;        /* owned: what could not be read, and why */
        bool unread;         /* a kernel may be where nobody could look */
        BootEntries entries; /* in the order of choice */
} Image;

void image_done(Image *image);
/* What holds the disk. Others than these have been converted to raw before: `made`. */
typedef enum ImageKind {
        IMAGE_RAW,
        IMAGE_QCOW2,
        IMAGE_MADE_RAW, /* by a program of this machine, so that no guest wrote its first bytes as those of a file */
        _IMAGE_KIND_MAX,
} ImageKind;

/* The descriptor stays the caller's. What the bytes look like decides nothing: a raw image that begins as qcow2 is refused. helper: or
 * NULL. */
_warn_unused_result_ int image_open(
                int fd, ImageKind kind, const VolumeHelper *helper, Image *ret, char **reterr);
_warn_unused_result_ int image_find_entries(Image *image, char **reterr);

typedef struct ImageChoice {
        const char *kernel, *entry; /* NULL: not said */
        unsigned partition;         /* 0: not said */
} ImageChoice;

/* -ENOENT, -ENOTUNIQ with an error message; -EBADMSG if nothing was found, and not everything could be read. */
_warn_unused_result_ int image_choose(
                const Image *image, const ImageChoice *choice, size_t *ret, char **reterr);

/* A range of a file that an entry names. */
typedef struct ImagePart {
        size_t volume;
        char *path; /* owned */
        VolumeFile file;
        uint64_t offset, size;
} ImagePart;

typedef struct ImageParts {
        ImagePart kernel;
        ImagePart *initrds; /* owned */
        size_t n_initrds;
} ImageParts;

void image_parts_done(ImageParts *p);
/* The files of an entry, where they are: -EBADMSG with an error message if one is not there. GRUB's are in one partition: -ENOTUNIQ if several have them and the choice
 * names none. */
_warn_unused_result_ int image_locate(
                Image *image, const BootEntry *e, const ImageChoice *choice, ImageParts *ret, char **reterr);
_warn_unused_result_ int image_write_kernel(Image *image, const ImageParts *p, int to, char **reterr);
/* All initrds one after another, each on a multiple of 4, as boot loaders place them. */
_warn_unused_result_ int image_write_initrd(Image *image, const ImageParts *p, int to, char **reterr);

/* For the user: image-report.c. */
_warn_unused_result_ int image_report(
                Image *image, const size_t *chosen, const ImageParts *parts, Json **ret, char **reterr);
/* What the kernel says of itself: version, EFI stub; and the configuration beside it. image-kernel.c. */
_warn_unused_result_ int image_kernel_report(Image *image, const ImagePart *kernel, Json *to, char **reterr);
