/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tdvf-metadata.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "overflow.h"
#include "tdx-abi.h"

#define HEADER_SIZE  16u /* "TDVF", length, version, count */
#define SECTION_SIZE 32u

static const char *const type_names[] = {
        [TDVF_BFV] = "BFV",
        [TDVF_CFV] = "CFV",
        [TDVF_TD_HOB] = "TD_HOB",
        [TDVF_TEMP_MEM] = "TEMP_MEM",
};
static_assert(ELEMENTSOF(type_names) == _TDVF_TYPE_MAX, "every type has a name");

const char *tdvf_type_to_string(uint32_t type) {
        return type < _TDVF_TYPE_MAX ? type_names[type] : NULL;
}

const TdvfSection *tdvf_find(const TdvfInfo *info, TdvfType type) {
        FOREACH_ARRAY(s, info->sections, info->n_sections)
                if (s->type == type)
                        return s;
        return NULL;
}

static bool overlaps(const TdvfInfo *info, const TdvfSection *s) {
        FOREACH_ARRAY(o, info->sections, info->n_sections)
                if (s->gpa < o->gpa + o->size && o->gpa < s->gpa + s->size)
                        return true;
        return false;
}

/* What QEMU would do with these, no two readers agree on. No known image has one. */
static int check_unusual(const TdvfSection *s, size_t i, const char *name, char **reterr) {
        bool file = s->type == TDVF_BFV || s->type == TDVF_CFV;

        if (s->attributes & TDVF_PAGE_AUG)
                return error_set(reterr, -EBADMSG,
                                "TDX metadata section %zu (%s) has the attribute PAGE_AUG, which QEMU ignores and others do not: its digest is not predictable",
                                i, name);
        if (s->attributes & ~TDVF_EXTEND)
                return error_set(reterr, -EBADMSG,
                                "TDX metadata section %zu (%s) has the unknown attributes 0x%" PRIx32
                                ": this firmware is newer than this program",
                                i, name, s->attributes);
        if (file && s->raw != s->size)
                return error_set(reterr, -EBADMSG,
                                "TDX metadata section %zu (%s) has %" PRIu32
                                " bytes in the file and %" PRIu64
                                " in memory: launchers fill the rest differently",
                                i, name, s->raw, s->size);
        return 0;
}

static int check_section(const TdvfInfo *info, const TdvfSection *s, size_t image_size, char **reterr) {
        const char *name = tdvf_type_to_string(s->type);
        size_t i = info->n_sections;
        bool file = s->type == TDVF_BFV || s->type == TDVF_CFV;
        uint64_t end;

        if (!name)
                return error_set(reterr, -EBADMSG,
                                "TDX metadata section %zu has the type %" PRIu32
                                ", which QEMU does not launch: expected BFV, CFV, TD_HOB or TEMP_MEM",
                                i, s->type);
        if (s->gpa % TDX_PAGE_SIZE != 0 || s->size % TDX_PAGE_SIZE != 0 || s->size == 0)
                return error_set(reterr, -EBADMSG,
                                "TDX metadata section %zu (%s, 0x%" PRIx64 "+0x%" PRIx64
                                ") does not consist of whole 4 KiB pages",
                                i, name, s->gpa, s->size);
        if (s->size > TDVF_SECTION_SIZE_MAX || !add_u64(s->gpa, s->size, &end))
                return error_set(reterr, -EBADMSG,
                                "TDX metadata section %zu (%s, 0x%" PRIx64 "+0x%" PRIx64
                                ") is out of range: it must be at most %u MiB large",
                                i, name, s->gpa, s->size, (unsigned) (TDVF_SECTION_SIZE_MAX >> 20));
        if (file != (s->raw != 0))
                return error_set(reterr, -EBADMSG,
                                "TDX metadata section %zu (%s) has %" PRIu32 " bytes in the file: %s", i,
                                name, s->raw, file ? "at least one is expected" : "none is expected");
        if ((uint64_t) s->offset + s->raw > image_size)
                return error_set(reterr, -EBADMSG,
                                "TDX metadata section %zu (%s) ends behind the end of the image: the file is truncated",
                                i, name);
        if (overlaps(info, s))
                return error_set(reterr, -EBADMSG,
                                "TDX metadata section %zu (%s, 0x%" PRIx64 "+0x%" PRIx64
                                ") overlaps an earlier one",
                                i, name, s->gpa, s->size);
        return check_unusual(s, i, name, reterr);
}

static int read_section(ByteReader *r, TdvfSection *ret) {
        TdvfSection s = {};

        if (byte_reader_le32(r, &s.offset) < 0 || byte_reader_le32(r, &s.raw) < 0 ||
                        byte_reader_le64(r, &s.gpa) < 0 || byte_reader_le64(r, &s.size) < 0 ||
                        byte_reader_le32(r, &s.type) < 0 || byte_reader_le32(r, &s.attributes) < 0)
                return -EBADMSG;
        *ret = s;
        return 0;
}

static int read_header(ByteReader *r, uint32_t *ret_count, char **reterr) {
        uint32_t length, version, count;
        uint8_t magic[4];

        if (byte_reader_copy(r, magic, 4) < 0 || byte_reader_le32(r, &length) < 0 ||
                        byte_reader_le32(r, &version) < 0 || byte_reader_le32(r, &count) < 0)
                return error_set(reterr, -EBADMSG, "TDX metadata are truncated");
        if (memcmp(magic, "TDVF", 4) != 0)
                return error_set(reterr, -EBADMSG, "TDX metadata lack the signature TDVF");
        if (version != 1)
                return error_set(reterr, -EBADMSG,
                                "TDX metadata have the version %" PRIu32
                                ", 1 expected: this firmware is newer than this program",
                                version);
        if (count < 2 || count > TDVF_SECTIONS_MAX)
                return error_set(reterr, -EBADMSG,
                                "TDX metadata have %" PRIu32 " sections, 2 to %u expected", count,
                                TDVF_SECTIONS_MAX);
        if (length != HEADER_SIZE + SECTION_SIZE * count)
                return error_set(reterr, -EBADMSG,
                                "TDX metadata have the length %" PRIu32 ", %" PRIu32 " expected for %" PRIu32
                                " sections",
                                length, HEADER_SIZE + SECTION_SIZE * count, count);
        *ret_count = count;
        return 0;
}

int tdvf_parse(const uint8_t *image, size_t size, uint32_t distance, TdvfInfo *ret, char **reterr) {
        ByteReader r = byte_reader(image, size);
        TdvfInfo info = {};
        uint32_t count;
        int k;

        if (distance < HEADER_SIZE || distance > size)
                return error_set(reterr, -EBADMSG,
                                "TDX metadata begin 0x%" PRIx32
                                " bytes before the end of an image of 0x%zx bytes: the image is truncated or not a firmware; use the unmodified file",
                                distance, size);
        k = byte_reader_seek(&r, size - distance);
        if (k >= 0)
                k = read_header(&r, &count, reterr);
        if (k < 0)
                return k;
        for (uint32_t i = 0; i < count; i++) {
                TdvfSection s;

                if (read_section(&r, &s) < 0)
                        return error_set(reterr, -EBADMSG, "TDX metadata are truncated in section %" PRIu32,
                                        i);
                k = check_section(&info, &s, size, reterr);
                if (k < 0)
                        return k;
                info.sections[info.n_sections++] = s;
        }
        if (!tdvf_find(&info, TDVF_TD_HOB))
                return error_set(reterr, -EBADMSG,
                                "TDX metadata have no TD_HOB section: QEMU has no place for the list of memory");
        *ret = info;
        return 0;
}
