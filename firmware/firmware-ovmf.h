/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an OVMF image says about itself: the GUID table at its end and the SEV metadata that it points to.
 *
 * Theory of operation. The last 32 bytes of an image are the reset vector. In front of them lies a table that is walked
 * backwards: each entry is data, u16 length (data + 18), GUID; the last entry, the footer, gives the length of the
 * table. One entry leads to the SEV metadata: "ASEV", u32 length, u32 version, u32 count and 12 bytes a section.
 * Specified by edk2 (OvmfPkg/ResetVector) and read by QEMU (hw/i386/pc_sysfw_ovmf.c, target/i386/sev.c).
 *
 * Everything is read through bounded readers; what is not understood is refused, since a firmware that is read wrongly
 * gives a wrong digest. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encode.h"

/* Real tables hold five to eight entries and seven sections; an image that exceeds this is not one. */
#define OVMF_ENTRIES_MAX  64u
#define OVMF_SECTIONS_MAX 64u
/* SNP measures every page; the sections of real images cover 256 KiB. The largest sensible size bounds the work. */
#define OVMF_SECTION_SIZE_MAX (256u * 1024u * 1024u)

/* edk2 OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm */
typedef enum OvmfSectionType {
        OVMF_SECTION_SEC_MEM = 1,
        OVMF_SECTION_SECRETS = 2,
        OVMF_SECTION_CPUID = 3,
        OVMF_SECTION_SVSM_CAA = 4,
        OVMF_SECTION_KERNEL_HASHES = 0x10,
} OvmfSectionType;

typedef struct OvmfSection {
        uint32_t gpa, size; /* multiples of 4096, size > 0 */
        uint32_t type;      /* an OvmfSectionType: others are refused */
} OvmfSection;

typedef struct OvmfEntry {
        Guid guid;
        uint32_t offset, size; /* of the data, in the image */
} OvmfEntry;

typedef struct OvmfArea {
        bool present; /* the entry is there; base and size may still be zero: "not in this build" */
        uint32_t base, size;
} OvmfArea;

typedef struct OvmfInfo {
        uint64_t size;                       /* of the image: it ends at 4 GiB in guest memory */
        OvmfEntry entries[OVMF_ENTRIES_MAX]; /* as the table is walked: from the end of the image */
        size_t n_entries;
        bool has_reset;         /* SEV-ES reset block */
        uint32_t reset_address; /* of application processors */
        OvmfArea hash_table;    /* kernel hashes */
        OvmfArea secret;        /* LAUNCH_SECRET */
        bool has_svsm_entry;
        uint32_t svsm_entry; /* counted from the base of an SVSM image */
        bool has_metadata;
        uint32_t metadata_offset; /* in the image */
        OvmfSection sections[OVMF_SECTIONS_MAX];
        size_t n_sections; /* in table order, which is the order of measurement: never sorted */
        bool code_half;    /* no variable store: the CODE half of a split build, or one that never had it */
} OvmfInfo;

const char *ovmf_section_type_to_string(uint32_t type); /* "SNP_SEC_MEM" ..., NULL: unknown */
const char *ovmf_guid_to_string(const Guid *guid);      /* a name, NULL: unknown */

/* Reads the image's table. -EBADMSG with a sentence that names what is wrong, where, and what to do. An image without
 * a table is refused, too: it cannot be told from a file that is no firmware. */
_warn_unused_result_ int ovmf_parse(const uint8_t *image, size_t size, OvmfInfo *ret, char **reterr);

/* True if the image carries a GUID table at all; nothing else is checked. */
bool ovmf_has_table(const uint8_t *image, size_t size);

typedef enum OvmfNeed {
        OVMF_NEED_RESET = 1 << 0,      /* SEV-ES, SEV-SNP: start address of application processors */
        OVMF_NEED_HASH_TABLE = 1 << 1, /* kernel hashes: a place for the table */
        OVMF_NEED_METADATA = 1 << 2,   /* SEV-SNP: sections */
        OVMF_NEED_HASH_PAGE = 1 << 3,  /* SEV-SNP with kernel hashes: a section for the table */
} OvmfNeed;

/* Checks that the image has what a launch needs: 0, or -EOPNOTSUPP with a sentence and a remedy. */
_warn_unused_result_ int ovmf_require(const OvmfInfo *info, unsigned needs, char **reterr);

/* Adds a section to the list: checked as ovmf_parse() does it. */
_warn_unused_result_ int ovmf_add_section(OvmfInfo *info, const OvmfSection *s, char **reterr);

/* The first section of a type, or NULL. */
const OvmfSection *ovmf_find_section(const OvmfInfo *info, uint32_t type);
