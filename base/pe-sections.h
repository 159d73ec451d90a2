/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The section table of a PE file (Microsoft PE/COFF specification), as a unified kernel image has one. */

#include "bytes.h"

#define PE_HEADER_MAX   4096u /* headers and section tables of real images end before 2 KiB */
#define PE_SECTIONS_MAX 96u   /* the format's own limit */

typedef struct PeSection {
        char name[9];    /* up to 8 bytes of any value, padded with NUL */
        uint64_t offset; /* in the file */
        uint64_t stored; /* bytes in the file, padding included */
        uint64_t memory; /* bytes in memory: what is stored, cut or continued with zeros */
} PeSection;

/* The bytes of its content that the file has: without padding. */
static inline uint64_t pe_section_content(const PeSection *s) {
        return MIN(s->stored, s->memory);
}

/* The reader has the file's first bytes; it moves to the table. 0 with the number of sections; -ENODATA: not a PE file. */
_warn_unused_result_ int pe_section_table(ByteReader *r, uint16_t *ret);
/* The next row of the table; -ENODATA: it is truncated. */
_warn_unused_result_ int pe_section_next(ByteReader *r, PeSection *ret);
