/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-pe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "error.h"

/* Microsoft, "PE Format". */
enum {
        OFFSET_PE = 0x3c,
        COFF_SECTIONS = 6, /* from "PE": number of sections, then the optional header's size */
        COFF_OPTIONAL_SIZE = 20,
        OPTIONAL = 24,
        MAGIC_32 = 0x10b,
        MAGIC_64 = 0x20b,
        OPTIONAL_HEADERS_SIZE = 60,
        OPTIONAL_CHECKSUM = 64,
        DIRECTORIES_32 = 96,
        DIRECTORIES_64 = 112,
        DIRECTORY_SECURITY = 4,
        SECTION_SIZE = 40,
        SECTION_VIRTUAL_SIZE = 8,
        SECTION_RAW_SIZE = 16,
};

typedef struct Span {
        uint32_t offset, size;
} Span;

typedef struct Pe {
        size_t checksum, security; /* what is left out: 4 and 8 bytes */
        bool has_security;
        uint32_t headers, certificates;
        Span sections[PE_SECTIONS_MAX];
        size_t n_sections;
        uint64_t table; /* of sections, and how many it has */
        unsigned n_table;
} Pe;

static int read_u32(const uint8_t *image, size_t size, uint64_t at, uint32_t *ret) {
        ByteReader r = byte_reader(image, size);
        int k = byte_reader_seek(&r, at);

        return k < 0 ? k : byte_reader_le32(&r, ret);
}

static int span_compare(const void *a, const void *b) {
        const Span *x = a, *y = b;

        return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int read_sections(const uint8_t *image, size_t size, uint64_t at, unsigned n, Pe *pe) {
        for (unsigned i = 0; i < n; i++) {
                Span s;

                if (read_u32(image, size, at + i * (uint64_t) SECTION_SIZE + SECTION_RAW_SIZE, &s.size) <
                                                0 ||
                                read_u32(image, size,
                                                at + i * (uint64_t) SECTION_SIZE + SECTION_RAW_SIZE + 4,
                                                &s.offset) < 0)
                        return -EBADMSG;
                if (s.size == 0)
                        continue;
                if ((uint64_t) s.offset + s.size > size)
                        return -EBADMSG;
                pe->sections[pe->n_sections++] = s;
        }
        qsort(pe->sections, pe->n_sections, sizeof(Span), span_compare);
        return 0;
}

static int parse_headers(const uint8_t *image, size_t size, Pe *pe) {
        uint32_t start, word, directories, n_directories;
        unsigned sections, optional_size;
        uint64_t optional;

        if (size < 2 || memcmp(image, "MZ", 2) != 0 || read_u32(image, size, OFFSET_PE, &start) < 0 ||
                        read_u32(image, size, start, &word) < 0 || word != 0x4550)
                return -EBADMSG;
        optional = (uint64_t) start + OPTIONAL;
        if (read_u32(image, size, (uint64_t) start + COFF_SECTIONS - 2, &word) < 0)
                return -EBADMSG;
        sections = word >> 16;
        if (read_u32(image, size, (uint64_t) start + COFF_OPTIONAL_SIZE, &word) < 0)
                return -EBADMSG;
        optional_size = word & 0xffff;
        if (sections > PE_SECTIONS_MAX || read_u32(image, size, optional, &word) < 0)
                return -EBADMSG;
        word &= 0xffff;
        if (word != MAGIC_32 && word != MAGIC_64)
                return -EBADMSG;
        directories = word == MAGIC_32 ? DIRECTORIES_32 : DIRECTORIES_64;
        pe->checksum = optional + OPTIONAL_CHECKSUM;
        pe->security = optional + directories + DIRECTORY_SECURITY * 8;
        if (optional_size < directories ||
                        read_u32(image, size, optional + directories - 4, &n_directories) < 0 ||
                        read_u32(image, size, optional + OPTIONAL_HEADERS_SIZE, &pe->headers) < 0)
                return -EBADMSG;
        pe->has_security = n_directories > DIRECTORY_SECURITY;
        if (pe->has_security && read_u32(image, size, pe->security + 4, &pe->certificates) < 0)
                return -EBADMSG;
        if (pe->headers > size || pe->headers < (pe->has_security ? pe->security + 8 : pe->checksum + 4))
                return -EBADMSG;
        pe->table = optional + optional_size;
        pe->n_table = sections;
        return 0;
}

static int parse(const uint8_t *image, size_t size, Pe *pe) {
        int r = parse_headers(image, size, pe);

        return r < 0 ? r : read_sections(image, size, pe->table, pe->n_table, pe);
}

int pe_sections(const uint8_t *image, size_t size, PeSection ret[static PE_SECTIONS_MAX], size_t *ret_n) {
        Pe pe = {};
        ByteReader r = byte_reader(image, size);

        if (parse_headers(image, size, &pe) < 0 || byte_reader_seek(&r, pe.table) < 0)
                return -EBADMSG;
        for (unsigned i = 0; i < pe.n_table; i++) {
                const uint8_t *p;

                if (byte_reader_take(&r, SECTION_SIZE, &p) < 0)
                        return -EBADMSG;
                ret[i] = (PeSection) { .virtual_size = le32_read(p + SECTION_VIRTUAL_SIZE),
                        .raw_size = le32_read(p + SECTION_RAW_SIZE),
                        .offset = le32_read(p + SECTION_RAW_SIZE + 4) };
                memcpy(ret[i].name, p, sizeof(ret[i].name) - 1);
        }
        *ret_n = pe.n_table;
        return 0;
}

static int feed(const Pe *pe, const uint8_t *image, size_t size, Hash *hash) {
        size_t at = pe->checksum + 4, hashed = pe->headers, rest;
        int r = hash_update(hash, image, pe->checksum);

        if (r >= 0 && pe->has_security) {
                r = hash_update(hash, image + at, pe->security - at);
                at = pe->security + 8;
        }
        if (r >= 0)
                r = hash_update(hash, image + at, pe->headers - at);
        for (size_t i = 0; r >= 0 && i < pe->n_sections; i++) {
                r = hash_update(hash, image + pe->sections[i].offset, pe->sections[i].size);
                hashed += pe->sections[i].size;
        }
        if (r < 0 || hashed >= size)
                return r;
        rest = size - hashed;
        if (pe->certificates > rest)
                return -EBADMSG;
        return hash_update(hash, image + hashed, rest - pe->certificates);
}

int pe_digest(const uint8_t *image, size_t size, uint8_t ret[static SHA384_SIZE], char **reterr) {
        _cleanup_hash_ Hash *hash = NULL;
        Pe pe = {};
        int r = parse(image, size, &pe);

        if (r >= 0)
                r = hash_new(HASH_SHA384, &hash);
        if (r >= 0)
                r = feed(&pe, image, size, hash);
        if (r == -EBADMSG)
                return error_set(reterr, r,
                                "not a PE image, or a truncated one: the firmware cannot start it as a UEFI application");
        return r < 0 ? r : hash_final(hash, ret);
}

bool pe_is_signed(const uint8_t *image, size_t size) {
        Pe pe = {};

        return parse(image, size, &pe) >= 0 && pe.certificates > 0;
}
