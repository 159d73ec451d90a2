/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A firmware image as the digests need it: its bytes read once, its tables, and the beginnings of the digests, which are the
 * same for every launch with this image. */

#include <stdbool.h>
#include <stdint.h>

#include "crypto-hash.h"
#include "firmware-ovmf.h"
#include "measure-input.h"
#include "plan.h"

/* OVMF images have 2 to 16 MiB; QEMU maps them below 4 GiB, where devices need room, too. */
#define FIRMWARE_IMAGE_SIZE_MAX (256u * 1024u * 1024u)

typedef enum FirmwareWork {
        FIRMWARE_SHA256 = 1 << 0, /* SHA-256 of the image and its parts: SEV, SEV-ES, and for people */
        FIRMWARE_SNP = 1 << 1,    /* the SNP chain over its pages: "ovmf-hash" */
} FirmwareWork;

typedef struct FirmwareImage {
        uint8_t *data; /* owned; NULL where only hash and metadata are known */
        uint64_t size;
        OvmfInfo info;      /* zeros where there is no table */
        char *info_error;   /* owned; why there is none: a plain SEV launch works without */
        InputDigest digest; /* with FIRMWARE_SHA256 */
        Hash *state;        /* owned; with FIRMWARE_SHA256: SHA-256 that has seen the image */
        bool has_chain;     /* with FIRMWARE_SNP, and if the image consists of whole pages */
        uint8_t chain[SHA384_SIZE];
        /* The same with the sections in front of the kernel hashes, as QEMU submits them: common to all launches. */
        size_t n_prefix; /* sections */
        uint8_t prefix[SHA384_SIZE];
} FirmwareImage;

void firmware_image_done(FirmwareImage *f);
_warn_unused_result_ int firmware_image_load(
                const PlanInput *in, unsigned work, FirmwareImage *ret, char **reterr);
/* Does more of the work later. */
_warn_unused_result_ int firmware_image_prepare(FirmwareImage *f, unsigned work);
/* Where the image begins in guest memory: it ends at 4 GiB. */
uint64_t firmware_image_gpa(const FirmwareImage *f);
/* What the image must have, with an error message: its tables were readable and hold what is needed (OvmfNeed). */
_warn_unused_result_ int firmware_image_require(const FirmwareImage *f, unsigned needs, char **reterr);
