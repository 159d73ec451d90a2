/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "firmware-volume.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "bytes.h"
#include "error.h"
#include "firmware-guids.h"
#include "overflow.h"

/* EFI_FIRMWARE_VOLUME_HEADER */
#define VOLUME_HEADER_SIZE  56u /* without the block map */
#define VOLUME_ERASED_ONES  (1u << 11)
#define VOLUME_EXTENDED_MIN 20u
/* EFI_FFS_FILE_HEADER, EFI_FFS_FILE_HEADER2 */
#define FILE_HEADER_SIZE       24u
#define FILE_HEADER_LARGE_SIZE 32u
#define FILE_LARGE             0x01u
#define FILE_TYPE_VOLUME       0x0bu
#define FILE_STATE_VALID       0x07u /* header constructed, header valid, data valid, and no later bit */
/* EFI_COMMON_SECTION_HEADER */
#define SECTION_COMPRESSED   0x01u
#define SECTION_GUIDED       0x02u
#define SECTION_DISPOSABLE   0x03u
#define SECTION_PE32         0x10u
#define SECTION_TE           0x12u
#define SECTION_VOLUME       0x17u
#define SECTION_LARGE_SIZE   0xffffffu
#define GUIDED_NEEDS_PROGRAM 0x01u
/* Where edk2 leaves room between volumes, it does so in whole blocks of erased flash. */
#define GAP_STEP 4096u

typedef struct Search {
        const Guid *name;
        firmware_unpack_t unpack;
        void *userdata;
        unsigned depth, items, unpacked;
        bool hidden, found;
        FirmwareFile file; /* with found */
        char **reterr;
} Search;

static int search_volumes(Search *s, const uint8_t *data, size_t size, bool row);

#define bad(s, ...) error_set((s)->reterr, -EBADMSG, __VA_ARGS__)

static int count(Search *s) {
        if (++s->items > FIRMWARE_VOLUME_ITEMS_MAX)
                return bad(s, "the firmware has more than %u files and sections", FIRMWARE_VOLUME_ITEMS_MAX);
        return 0;
}

static bool filled_with(const uint8_t *p, size_t n, uint8_t value) {
        for (size_t i = 0; i < n; i++)
                if (p[i] != value)
                        return false;
        return true;
}

/* The cursor moves to a multiple of `to`, or to the end where that comes first. */
static void align(ByteReader *r, uint64_t to) {
        uint64_t next;

        if (!align_u64(r->pos, to, &next) || byte_reader_seek(r, next) < 0)
                r->pos = r->size;
}

/* Microsoft PE format: "MZ", at 0x3c where the header is, there "PE\0\0". */
static FirmwareFile judge(const ByteReader *content) {
        ByteReader r = *content;
        const uint8_t *p;
        uint32_t at;

        if (bytes_are_zero(r.data + r.pos, byte_reader_left(&r)))
                return FIRMWARE_FILE_EMPTY;
        r = byte_reader(r.data + r.pos, byte_reader_left(&r));
        if (byte_reader_take(&r, 2, &p) < 0 || memcmp(p, "MZ", 2) != 0 || byte_reader_seek(&r, 0x3c) < 0 ||
                        byte_reader_le32(&r, &at) < 0 || byte_reader_seek(&r, at) < 0 ||
                        byte_reader_take(&r, 4, &p) < 0 || memcmp(p, "PE\0\0", 4) != 0)
                return FIRMWARE_FILE_OTHER;
        return FIRMWARE_FILE_PE;
}

typedef struct Section {
        uint8_t type;
        ByteReader content;
} Section;

/* The next section; the cursor moves after it and its padding. */
static int next_section(Search *s, ByteReader *r, Section *ret) {
        size_t start = r->pos, header = 4;
        const uint8_t *p;
        uint32_t size;
        int k = count(s);

        if (k < 0)
                return k;
        if (byte_reader_take(r, 4, &p) < 0)
                return bad(s, "a section of a firmware file is truncated");
        size = le32_read(p) & 0xffffffu;
        if (size == SECTION_LARGE_SIZE) {
                header = 8;
                if (byte_reader_le32(r, &size) < 0)
                        return bad(s, "a section of a firmware file is truncated");
        }
        if (size < header || byte_reader_sub(r, size - header, &ret->content) < 0)
                return bad(s,
                                "a section of a firmware file has %" PRIu32
                                " bytes, between %zu and %zu expected",
                                size, header, r->size - start);
        ret->type = p[3];
        align(r, 4);
        return 0;
}

static int search_sections(Search *s, ByteReader r);

static int search_packed(Search *s, ByteReader *content) {
        size_t n = byte_reader_left(content), size;
        _cleanup_free_ uint8_t *plain = NULL;
        int r;

        if (++s->unpacked > FIRMWARE_VOLUME_UNPACK_MAX)
                return bad(s, "the firmware has more than %u compressed sections",
                                FIRMWARE_VOLUME_UNPACK_MAX);
        r = s->unpack(content->data + content->pos, n, &plain, &size, s->userdata, s->reterr);
        if (r < 0)
                return error_prefix(s->reterr, r, "a compressed section of the firmware");
        return search_sections(s, byte_reader(plain, size));
}

/* EFI_GUID_DEFINED_SECTION: GUID, u16 where the data begins, counted from the section's header, u16 attributes. */
static int search_guided(Search *s, const Section *section) {
        static const Guid lzma = GUID_SECTION_LZMA;
        ByteReader r = section->content;
        uint16_t offset, attributes;
        Guid kind;

        if (byte_reader_copy(&r, kind.bytes, 16) < 0 || byte_reader_le16(&r, &offset) < 0 ||
                        byte_reader_le16(&r, &attributes) < 0)
                return bad(s, "a GUID-defined section of a firmware file is truncated");
        /* Further fields of a kind that is not known lie in front of the data; LZMA has none. */
        if (offset != 24)
                attributes |= GUIDED_NEEDS_PROGRAM;
        if ((attributes & GUIDED_NEEDS_PROGRAM) == 0)
                return search_sections(s, r);
        if (!guid_equal(&kind, &lzma) || offset != 24 || !s->unpack) {
                s->hidden = true;
                return 0;
        }
        return search_packed(s, &r);
}

/* Sections outside of the file that is looked for: what can hold further volumes is entered. */
static int search_section(Search *s, const Section *section) {
        const ByteReader *r = &section->content;

        switch (section->type) {
        case SECTION_GUIDED:
                return search_guided(s, section);
        case SECTION_VOLUME:
                return search_volumes(s, r->data + r->pos, byte_reader_left(r), /* row= */ false);
        case SECTION_COMPRESSED:
        case SECTION_DISPOSABLE:
                s->hidden = true;
                return 0;
        default:
                return 0;
        }
}

static int search_sections(Search *s, ByteReader r) {
        int k = 0;

        if (s->depth >= 2 * FIRMWARE_VOLUME_DEPTH_MAX)
                return bad(s, "the firmware's sections are nested more than %u times",
                                2 * FIRMWARE_VOLUME_DEPTH_MAX);
        s->depth++;
        /* A reader over its own bytes: alignment counts from the first section. */
        r = byte_reader(r.data + r.pos, byte_reader_left(&r));
        while (k >= 0 && byte_reader_left(&r) > 0) {
                Section section = {};

                k = next_section(s, &r, &section);
                if (k >= 0)
                        k = search_section(s, &section);
        }
        s->depth--;
        return k;
}

/* The file that is looked for: its first program counts, as for the firmware's own loader. */
static int take_file(Search *s, ByteReader r) {
        bool program = false;

        if (s->found)
                return bad(s, "the firmware has two files with the requested GUID");
        s->found = true;
        s->file = FIRMWARE_FILE_EMPTY;
        while (byte_reader_left(&r) > 0) {
                Section section = {};
                int k = next_section(s, &r, &section);

                if (k < 0)
                        return k;
                if (program)
                        continue;
                if (section.type == SECTION_PE32) {
                        s->file = judge(&section.content);
                        program = true;
                } else if (section.type == SECTION_GUIDED || section.type == SECTION_COMPRESSED ||
                                section.type == SECTION_TE)
                        s->file = FIRMWARE_FILE_OTHER;
        }
        return 0;
}

/* The sum of the header's bytes without the state and the checksum over the content is zero. */
static bool file_checksum_ok(const uint8_t *p, size_t n) {
        uint8_t sum = 0;

        for (size_t i = 0; i < n; i++)
                if (i != 17 && i != 23)
                        sum = (uint8_t) (sum + p[i]);
        return sum == 0;
}

/* The file at the cursor, which moves after it and its padding. */
static int search_file(Search *s, ByteReader *r, uint8_t erased) {
        const uint8_t *p;
        size_t start = r->pos, header = FILE_HEADER_SIZE;
        ByteReader content;
        uint64_t size;
        int k = count(s);

        if (k < 0)
                return k;
        if (byte_reader_take(r, FILE_HEADER_SIZE, &p) < 0)
                return bad(s, "the firmware file at offset %zu is truncated", start);
        size = le32_read(p + 20) & 0xffffffu;
        if (p[19] & FILE_LARGE) {
                header = FILE_HEADER_LARGE_SIZE;
                if (byte_reader_le64(r, &size) < 0)
                        return bad(s, "the firmware file at offset %zu is truncated", start);
        }
        if ((p[23] ^ erased) != FILE_STATE_VALID || !file_checksum_ok(p, header))
                return bad(s, "a firmware file at %zu has a wrong state or checksum", start);
        if (size < header || size - header > byte_reader_left(r))
                return bad(s, "a firmware file at %zu has %" PRIu64 " bytes, between %zu and %zu expected",
                                start, size, header, r->size - start);
        k = byte_reader_sub(r, size - header, &content);
        if (k < 0)
                return k;
        align(r, 8);
        content = byte_reader(content.data + content.pos, byte_reader_left(&content));
        if (memcmp(p, s->name->bytes, 16) == 0)
                return take_file(s, content);
        return p[18] == FILE_TYPE_VOLUME ? search_sections(s, content) : 0;
}

static int search_files(Search *s, ByteReader *r, uint8_t erased) {
        for (align(r, 8); byte_reader_left(r) > 0; align(r, 8)) {
                size_t n = MIN(byte_reader_left(r), FILE_HEADER_SIZE);
                int k;

                if (filled_with(r->data + r->pos, n, erased))
                        return 0; /* free space up to the end */
                k = search_file(s, r, erased);
                if (k < 0)
                        return k;
        }
        return 0;
}

typedef struct Volume {
        uint64_t size;
        size_t files; /* where they begin */
        bool ffs;     /* has a file system */
        uint8_t erased;
} Volume;

/* The extended header, where there is one: a name, u32 size and more; files begin after it. */
static int find_files(Search *s, const uint8_t *p, size_t header, Volume *v) {
        ByteReader r = byte_reader(p, v->size);
        uint16_t extended = le16_read(p + 52);
        uint64_t end;
        uint32_t size;

        v->files = header;
        if (extended == 0)
                return 0;
        if (extended < header || byte_reader_seek(&r, (uint64_t) extended + 16) < 0 ||
                        byte_reader_le32(&r, &size) < 0 || size < VOLUME_EXTENDED_MIN ||
                        !add_u64(extended, size, &end) || end > v->size)
                return bad(s, "the extended header of a firmware volume is damaged");
        v->files = (size_t) end;
        return 0;
}

static int read_volume(Search *s, const uint8_t *p, size_t left, size_t at, Volume *ret) {
        static const Guid ffs2 = GUID_FFS2, ffs3 = GUID_FFS3, nv_data = GUID_SYSTEM_NV_DATA_FV;
        uint16_t header, sum = 0;
        Volume v;

        if (left < VOLUME_HEADER_SIZE || memcmp(p + 40, "_FVH", 4) != 0)
                return bad(s, "no firmware volume begins at %zu", at);
        header = le16_read(p + 48);
        v = (Volume) {
                .size = le64_read(p + 32),
                .ffs = memcmp(p + 16, ffs2.bytes, 16) == 0 || memcmp(p + 16, ffs3.bytes, 16) == 0,
                .erased = le32_read(p + 44) & VOLUME_ERASED_ONES ? 0xff : 0,
        };
        if (v.size > left || header < VOLUME_HEADER_SIZE || header > v.size || header % 2 != 0)
                return bad(s,
                                "the firmware volume at %zu has %" PRIu64
                                " bytes and a header of %u; %zu left",
                                at, v.size, header, left);
        for (size_t i = 0; i < header; i += 2)
                sum = (uint16_t) (sum + le16_read(p + i));
        if (sum != 0 || p[55] != 2)
                return bad(s, "the firmware volume at %zu has a wrong checksum or revision", at);
        if (!v.ffs && memcmp(p + 16, nv_data.bytes, 16) != 0)
                return bad(s, "the firmware volume at %zu has an unknown file system", at);
        *ret = v;
        return v.ffs ? find_files(s, p, header, ret) : 0;
}

static bool is_gap(const uint8_t *p, size_t left) {
        return left >= GAP_STEP && (filled_with(p, GAP_STEP, 0xff) || bytes_are_zero(p, GAP_STEP));
}

/* row: volumes one after another, with gaps of erased flash; else exactly one. */
static int search_row(Search *s, const uint8_t *data, size_t size, bool row) {
        size_t at = 0;

        while (at < size) {
                ByteReader files;
                Volume v = {};
                int r;

                if (row && is_gap(data + at, size - at)) {
                        at += GAP_STEP;
                        continue;
                }
                r = read_volume(s, data + at, size - at, at, &v);
                if (r < 0)
                        return r;
                if (v.ffs) {
                        files = byte_reader(data + at, (size_t) v.size);
                        files.pos = v.files;
                        r = search_files(s, &files, v.erased);
                        if (r < 0)
                                return r;
                }
                if (!row)
                        return 0;
                at += (size_t) v.size;
        }
        return row ? 0 : bad(s, "a section for a firmware volume is empty");
}

static int search_volumes(Search *s, const uint8_t *data, size_t size, bool row) {
        int r;

        if (s->depth >= 2 * FIRMWARE_VOLUME_DEPTH_MAX)
                return bad(s, "the firmware's volumes are nested more than %u times",
                                FIRMWARE_VOLUME_DEPTH_MAX);
        s->depth++;
        r = search_row(s, data, size, row);
        s->depth--;
        return r;
}

int firmware_volume_find(const uint8_t *image, size_t size, const Guid *name, firmware_unpack_t unpack,
                void *userdata, FirmwareFile *ret, char **reterr) {
        Search s = { .name = name, .unpack = unpack, .userdata = userdata, .reterr = reterr };
        int r;

        if (size > FIRMWARE_VOLUME_SIZE_MAX)
                return bad(&s, "the firmware has %zu bytes, at most %u expected", size,
                                FIRMWARE_VOLUME_SIZE_MAX);
        r = search_volumes(&s, image, size, /* row= */ true);
        if (r < 0)
                return r;
        *ret = s.found ? s.file : s.hidden ? FIRMWARE_FILE_HIDDEN : FIRMWARE_FILE_ABSENT;
        return 0;
}
