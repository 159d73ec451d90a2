/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The TDX metadata of a firmware image: which pages a TD begins with, and which of them are measured.
 *
 * Theory of operation. An entry of OVMF's GUID table (firmware-ovmf.h) says how far before the end of the image the descriptor begins:
 * "TDVF", u32 length, u32 version, u32 count, and 32 bytes a section. Specified by Intel's TDX Virtual Firmware Design Guide
 * (344991), read by QEMU (hw/i386/tdvf.c), whose checks are repeated here: what QEMU does not launch has no digest. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

/* Real images have four to seven. */
#define TDVF_SECTIONS_MAX 64u
/* Bounds the work; real sections cover 4 MiB. */
#define TDVF_SECTION_SIZE_MAX (UINT64_C(256) << 20)

#define TDVF_EXTEND   (1u << 0) /* attribute MR.EXTEND: the content is measured */
#define TDVF_PAGE_AUG (1u << 1)

typedef enum TdvfType {
        TDVF_BFV = 0, /* code: the boot firmware volume */
        TDVF_CFV = 1, /* variables: the configuration firmware volume */
        TDVF_TD_HOB = 2,
        TDVF_TEMP_MEM = 3,
        _TDVF_TYPE_MAX, /* others exist in the guide; QEMU refuses them */
} TdvfType;

typedef struct TdvfSection {
        uint32_t offset, raw; /* in the file; raw 0: zero pages */
        uint64_t gpa, size;   /* whole pages, size > 0 */
        uint32_t type;        /* a TdvfType */
        uint32_t attributes;
} TdvfSection;

typedef struct TdvfInfo {
        TdvfSection sections[TDVF_SECTIONS_MAX];
        size_t n_sections; /* in table order, which is the order of measurement: never sorted */
} TdvfInfo;

const char *tdvf_type_to_string(uint32_t type); /* "BFV", "CFV", "TD_HOB", "TEMP_MEM"; NULL: unknown */

/* `distance`: from the end of the image to the descriptor. -EBADMSG with an error message. */
_warn_unused_result_ int tdvf_parse(
                const uint8_t *image, size_t size, uint32_t distance, TdvfInfo *ret, char **reterr);

/* The first section of a type, or NULL. */
const TdvfSection *tdvf_find(const TdvfInfo *info, TdvfType type);
