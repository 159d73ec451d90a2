/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* IGVM files (Microsoft's igvm_defs, QEMU backends/igvm.c): a fixed header, a list of variable headers, data after them. The headers are
 * walked one by one, in file order, which is the order of measurement. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

#define IGVM_MAGIC 0x4d564749u /* "IGVM" */
/* SVSM with firmware has 10 to 20 MiB. */
#define IGVM_FILE_SIZE_MAX (256u * 1024u * 1024u)
/* Pages that one file may ask for: 4 GiB. Bounds the work of a small file with many large pages. */
#define IGVM_PAGES_MAX     (1024u * 1024u)
#define IGVM_PLATFORMS_MAX 32u /* one bit of the compatibility mask each */
#define IGVM_AREAS_MAX     256u

typedef enum IgvmPlatform {
        IGVM_PLATFORM_NATIVE = 0,
        IGVM_PLATFORM_VSM = 1,
        IGVM_PLATFORM_SEV_SNP = 2,
        IGVM_PLATFORM_TDX = 3,
        IGVM_PLATFORM_SEV = 4,
        IGVM_PLATFORM_SEV_ES = 5,
} IgvmPlatform;

const char *igvm_platform_to_string(unsigned p); /* "sev-snp" ..., NULL: unknown */

typedef enum IgvmDataType {
        IGVM_DATA_NORMAL = 0,
        IGVM_DATA_SECRETS = 1,
        IGVM_DATA_CPUID = 2,
        IGVM_DATA_CPUID_XF = 3,
} IgvmDataType;

typedef enum IgvmKind {
        IGVM_PAGES,      /* page data */
        IGVM_INSERT,     /* a parameter area goes to memory */
        IGVM_VP_CONTEXT, /* a VMSA */
        IGVM_ID_BLOCK,   /* what the digest is expected to be */
        IGVM_OTHER,      /* does not enter the digest */
} IgvmKind;

typedef struct IgvmDirective {
        IgvmKind kind;
        uint32_t type; /* as in the file */
        uint32_t mask; /* of platforms; all bits where the header has none */
        uint64_t gpa;
        uint64_t n_pages; /* PAGES, INSERT */
        const uint8_t *data; /* PAGES: n_pages * 4096 bytes, NULL: zeros; VP_CONTEXT: 4096 bytes. Borrowed from the file */
        bool unmeasured, shared; /* PAGES */
        unsigned data_type;      /* PAGES: an IgvmDataType */
        unsigned vp_index;
        const uint8_t *expected; /* ID_BLOCK: 48 bytes */
} IgvmDirective;

typedef struct IgvmFile {
        const uint8_t *data; /* borrowed */
        size_t size;
        ByteReader headers; /* the next one */
        uint32_t platforms[IGVM_PLATFORMS_MAX], masks[IGVM_PLATFORMS_MAX];
        size_t n_platforms;
        uint32_t area_index[IGVM_AREAS_MAX];
        uint64_t area_size[IGVM_AREAS_MAX];
        size_t n_areas;
        uint64_t n_pages; /* so far */
        unsigned index;   /* of the header that was read last */
} IgvmFile;

/* Checks the fixed header and the checksum, and reads which platforms the file is for. -EBADMSG with an error message. */
_warn_unused_result_ int igvm_open(const uint8_t *data, size_t size, IgvmFile *ret, char **reterr);
/* The mask of a platform, or -ENOENT with an error message that names the ones there are. */
_warn_unused_result_ int igvm_platform_mask(
                const IgvmFile *f, IgvmPlatform platform, uint32_t *ret, char **reterr);
/* The next header: 1, 0 at the end, or -EBADMSG with an error message. */
_warn_unused_result_ int igvm_next(IgvmFile *f, IgvmDirective *ret, char **reterr);
