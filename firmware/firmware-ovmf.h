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
#include "ovmf-need.h"
#include "sev-firmware.h"

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
        bool has_tdx; /* TDX metadata, for tdvf_parse(): how far they begin before the end of the image */
        uint32_t tdx_distance;
        bool code_half; /* no variable store: the CODE half of a split build, or one that never had it */
} OvmfInfo;

const char *ovmf_section_type_to_string(uint32_t type); /* "SNP_SEC_MEM" ..., NULL: unknown */
const char *ovmf_guid_to_string(const Guid *guid);      /* a name, NULL: unknown */

/* Reads the image's table. -EBADMSG with an error message that names what is wrong, where, and what to do. An image without
 * a table is refused, too: it looks the same as a file that is not firmware. */
_warn_unused_result_ int ovmf_parse(const uint8_t *image, size_t size, OvmfInfo *ret, char **reterr);

/* The GUID table alone: for TDX, since images that are built for it may have SEV metadata that no SEV guest could use. */
_warn_unused_result_ int ovmf_parse_table(const uint8_t *image, size_t size, OvmfInfo *ret, char **reterr);

/* True if the image carries a GUID table at all; nothing else is checked. */
bool ovmf_has_table(const uint8_t *image, size_t size);

/* Checks that the image has what a launch needs: 0, or -EOPNOTSUPP with an error message and a remedy. */
_warn_unused_result_ int ovmf_require(const OvmfInfo *info, unsigned needs, char **reterr);

/* Adds a section to the list: checked as ovmf_parse() does it. */
_warn_unused_result_ int ovmf_add_section(OvmfInfo *info, const OvmfSection *s, char **reterr);

/* The first section of a type, or NULL. */
const OvmfSection *ovmf_find_section(const OvmfInfo *info, uint32_t type);

#define REMEDY_AMDSEV "use " AMDSEV_SOURCE ", or name another image with --firmware= or --ovmf"

/* Where the table is: its footer lies in front of the reset vector. */
#define RESET_VECTOR_SIZE 32u /* after the table */
#define ENTRY_HEADER_SIZE 18u /* u16 length + GUID, after the entry's data */

/* The length of the table, with its footer: 0, or -ENOENT where there is no footer. */
_warn_unused_result_ int ovmf_footer(const uint8_t *image, size_t size, uint16_t *ret);
/* An image with CODE and VARS in one, or the VARS half alone. */
bool ovmf_starts_with_variables(const uint8_t *image, size_t size);
/* Why a file without a table is not an image that QEMU starts: -EBADMSG, with an error message. */
_warn_unused_result_ int ovmf_explain_other(const uint8_t *image, size_t size, char **reterr);
