/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Builds small OVMF-like images for tests: the GUID table and SEV metadata of a real AmdSev build, or what a test makes of them.
 * Everything else in the image is a fixed pattern. */

#include <string.h>

#include "bytes.h"
#include "firmware-guids.h"
#include "firmware-ovmf.h"
#include "macro.h"

#define IMAGE_SIZE 8192u

typedef struct ImageSpec {
        const OvmfSection *sections;
        size_t n_sections;
        uint32_t hash_base, hash_size;
        uint32_t reset_address;
        bool no_hash_table, no_reset, no_metadata;
} ImageSpec;

/* The layout of edk2's AmdSevX64 build (OvmfPkg/AmdSev/AmdSevX64.fdf). */
static const OvmfSection image_amdsev_sections[] = {
        { 0x800000, 0x9000, OVMF_SECTION_SEC_MEM },
        { 0x80a000, 0x3000, OVMF_SECTION_SEC_MEM },
        { 0x80d000, 0x1000, OVMF_SECTION_SECRETS },
        { 0x80e000, 0x1000, OVMF_SECTION_CPUID },
        { 0x80f000, 0x1000, OVMF_SECTION_SVSM_CAA },
        { 0x811000, 0xf000, OVMF_SECTION_SEC_MEM },
        { 0x810000, 0x1000, OVMF_SECTION_KERNEL_HASHES },
};

static const ImageSpec image_amdsev = {
        .sections = image_amdsev_sections,
        .n_sections = ELEMENTSOF(image_amdsev_sections),
        .hash_base = 0x810c00,
        .hash_size = 0x400,
        .reset_address = 0x80b004,
};

/* Puts an entry so that it ends at *end, and moves *end to its beginning. */
static inline void image_entry(
                uint8_t *image, size_t *end, const Guid *guid, const uint32_t *numbers, size_t n_numbers) {
        *end -= 16;
        memcpy(image + *end, guid->bytes, 16);
        *end -= 2;
        le16_write(image + *end, (uint16_t) (18 + 4 * n_numbers));
        for (size_t i = n_numbers; i > 0; i--) {
                *end -= 4;
                le32_write(image + *end, numbers[i - 1]);
        }
}

static inline void image_build(const ImageSpec *spec, uint8_t image[static IMAGE_SIZE]) {
        static const Guid footer = GUID_OVMF_TABLE_FOOTER, reset = GUID_SEV_ES_RESET_BLOCK,
                          hash = GUID_SEV_HASH_TABLE_RV, secret = GUID_SEV_SECRET_BLOCK,
                          metadata = GUID_OVMF_SEV_METADATA, tdx = GUID_OVMF_TDX_METADATA;
        size_t at = IMAGE_SIZE - 2048, end = IMAGE_SIZE - 32;
        const uint32_t back = 2048;

        for (size_t i = 0; i < IMAGE_SIZE; i++)
                image[i] = (uint8_t) (i * 7 + i / 251);

        image_entry(image, &end, &footer, NULL, 0);
        if (!spec->no_reset)
                image_entry(image, &end, &reset, &spec->reset_address, 1);
        image_entry(image, &end, &secret, (const uint32_t[]) { 0x810000, 0xc00 }, 2);
        if (!spec->no_hash_table)
                image_entry(image, &end, &hash, (const uint32_t[]) { spec->hash_base, spec->hash_size }, 2);
        if (!spec->no_metadata)
                image_entry(image, &end, &metadata, &back, 1);
        image_entry(image, &end, &tdx, (const uint32_t[]) { 0x123 }, 1);
        le16_write(image + IMAGE_SIZE - 50, (uint16_t) (IMAGE_SIZE - 32 - end));

        memcpy(image + at, "ASEV", 4);
        le32_write(image + at + 4, (uint32_t) (16 + 12 * spec->n_sections));
        le32_write(image + at + 8, 1);
        le32_write(image + at + 12, (uint32_t) spec->n_sections);
        for (size_t i = 0; i < spec->n_sections; i++) {
                le32_write(image + at + 16 + 12 * i, spec->sections[i].gpa);
                le32_write(image + at + 20 + 12 * i, spec->sections[i].size);
                le32_write(image + at + 24 + 12 * i, spec->sections[i].type);
        }
}
