/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pe-sections.h"

#include <errno.h>
#include <string.h>

#define OFFSET_PE    0x3cu
#define SECTION_SIZE 40u

/* "MZ", the place of the COFF header at 0x3c; there: "PE\0\0", machine, number of sections, 12 bytes, size of the optional header,
 * characteristics, the optional header. */
int pe_section_table(ByteReader *r, uint16_t *ret) {
        const uint8_t *p;
        uint16_t n, optional;
        uint32_t pe;

        if (byte_reader_take(r, 2, &p) < 0 || memcmp(p, "MZ", 2) != 0 ||
                        byte_reader_seek(r, OFFSET_PE) < 0 || byte_reader_le32(r, &pe) < 0 ||
                        byte_reader_seek(r, pe) < 0 || byte_reader_take(r, 4, &p) < 0 ||
                        memcmp(p, "PE\0\0", 4) != 0 || byte_reader_skip(r, 2) < 0 ||
                        byte_reader_le16(r, &n) < 0 || byte_reader_skip(r, 12) < 0 ||
                        byte_reader_le16(r, &optional) < 0 ||
                        byte_reader_skip(r, 2 + (size_t) optional) < 0 || n > PE_SECTIONS_MAX)
                return -ENODATA;
        *ret = n;
        return 0;
}

/* Name at 0, VirtualSize at 8, SizeOfRawData at 16, PointerToRawData at 20. */
int pe_section_next(ByteReader *r, PeSection *ret) {
        const uint8_t *p;
        int k = byte_reader_take(r, SECTION_SIZE, &p);

        if (k < 0)
                return k;
        *ret = (PeSection) {
                .memory = le32_read(p + 8), .stored = le32_read(p + 16), .offset = le32_read(p + 20)
        };
        memcpy(ret->name, p, sizeof(ret->name) - 1);
        return 0;
}
