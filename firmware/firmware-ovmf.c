/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "firmware-ovmf.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "firmware-guids.h"
#include "overflow.h"
#include "sev-abi.h"

#define METADATA_HEADER  16u /* "ASEV", length, version, count */
#define METADATA_SECTION 12u /* gpa, size, type */
#define FOUR_GIB         (UINT64_C(1) << 32)

static const struct {
        Guid guid;
        const char *name;
} guid_names[] = {
        { GUID_OVMF_TABLE_FOOTER, "OVMF_TABLE_FOOTER" },
        { GUID_SEV_ES_RESET_BLOCK, "SEV_ES_RESET_BLOCK" },
        { GUID_SEV_HASH_TABLE_RV, "SEV_HASH_TABLE_RV" },
        { GUID_SEV_SECRET_BLOCK, "SEV_SECRET_BLOCK" },
        { GUID_OVMF_SEV_METADATA, "OVMF_SEV_METADATA" },
        { GUID_OVMF_TDX_METADATA, "OVMF_TDX_METADATA" },
        { GUID_OVMF_IGVM_METADATA, "OVMF_IGVM_METADATA" },
        { GUID_OVMF_RESET_VECTOR, "OVMF_RESET_VECTOR" },
        { GUID_SVSM_INFO, "SVSM_INFO" },
};

static const struct {
        uint32_t type;
        const char *name;
} section_names[] = {
        { OVMF_SECTION_SEC_MEM, "SNP_SEC_MEM" },
        { OVMF_SECTION_SECRETS, "SNP_SECRETS" },
        { OVMF_SECTION_CPUID, "SNP_CPUID" },
        { OVMF_SECTION_SVSM_CAA, "SVSM_CAA" },
        { OVMF_SECTION_KERNEL_HASHES, "SNP_KERNEL_HASHES" },
};

const char *ovmf_section_type_to_string(uint32_t type) {
        FOREACH_ARRAY(s, section_names, ELEMENTSOF(section_names))
                if (s->type == type)
                        return s->name;
        return NULL;
}

const char *ovmf_guid_to_string(const Guid *guid) {
        FOREACH_ARRAY(g, guid_names, ELEMENTSOF(guid_names))
                if (guid_equal(&g->guid, guid))
                        return g->name;
        return NULL;
}

const OvmfSection *ovmf_find_section(const OvmfInfo *info, uint32_t type) {
        FOREACH_ARRAY(s, info->sections, info->n_sections)
                if (s->type == type)
                        return s;
        return NULL;
}

static int read_area(ByteReader *data, const char *name, OvmfArea *ret, char **reterr) {
        OvmfArea area = { .present = true };
        uint64_t end;

        if (byte_reader_left(data) != 8 || byte_reader_le32(data, &area.base) < 0 ||
                        byte_reader_le32(data, &area.size) < 0)
                return error_set(reterr, -EBADMSG, "firmware entry %s has %zu bytes, 8 expected", name,
                                data->size);
        if (!add_u64(area.base, area.size, &end) || end > FOUR_GIB)
                return error_set(reterr, -EBADMSG,
                                "firmware entry %s: area 0x%" PRIx32 "+0x%" PRIx32 " exceeds 4 GiB", name,
                                area.base, area.size);
        *ret = area;
        return 0;
}

static int read_number(ByteReader *data, const char *name, uint32_t *ret, char **reterr) {
        if (byte_reader_left(data) != 4 || byte_reader_le32(data, ret) < 0)
                return error_set(reterr, -EBADMSG, "firmware entry %s has %zu bytes, 4 expected", name,
                                data->size);
        return 0;
}

/* An entry whose content we use. */
static int read_known_entry(const Guid *guid, ByteReader data, OvmfInfo *info, char **reterr) {
        static const Guid reset = GUID_SEV_ES_RESET_BLOCK, hash = GUID_SEV_HASH_TABLE_RV,
                          secret = GUID_SEV_SECRET_BLOCK, metadata = GUID_OVMF_SEV_METADATA,
                          tdx = GUID_OVMF_TDX_METADATA, svsm = GUID_SVSM_INFO;
        const char *name = ovmf_guid_to_string(guid);
        uint32_t number;
        int r;

        if (guid_equal(guid, &hash))
                return read_area(&data, name, &info->hash_table, reterr);
        if (guid_equal(guid, &secret))
                return read_area(&data, name, &info->secret, reterr);
        if (guid_equal(guid, &reset)) {
                info->has_reset = true;
                return read_number(&data, name, &info->reset_address, reterr);
        }
        if (guid_equal(guid, &svsm)) {
                info->has_svsm_entry = true;
                return read_number(&data, name, &info->svsm_entry, reterr);
        }
        if (guid_equal(guid, &tdx)) {
                info->has_tdx = true;
                return read_number(&data, name, &info->tdx_distance, reterr);
        }
        if (!guid_equal(guid, &metadata))
                return 0;

        r = read_number(&data, name, &number, reterr);
        if (r < 0)
                return r;
        if (number < METADATA_HEADER || number > info->size)
                return error_set(reterr, -EBADMSG,
                                "SEV metadata begin 0x%" PRIx32
                                " bytes before the end of an image of 0x%" PRIx64
                                " bytes: the image is truncated or not a firmware; use the unmodified file",
                                number, info->size);
        info->has_metadata = true;
        info->metadata_offset = (uint32_t) (info->size - number);
        return 0;
}

static bool seen_before(const OvmfInfo *info, const Guid *guid) {
        FOREACH_ARRAY(e, info->entries, info->n_entries)
                if (guid_equal(&e->guid, guid))
                        return true;
        return false;
}

/* The entry that ends at *end; moves *end to where it begins. */
static int read_entry(const uint8_t *image, size_t start, size_t *end, OvmfInfo *info, char **reterr) {
        ByteReader r = byte_reader(image, *end), data;
        OvmfEntry entry = {};
        uint16_t length;
        char text[GUID_TEXT_SIZE];

        if (byte_reader_seek(&r, *end - ENTRY_HEADER_SIZE) < 0 || byte_reader_le16(&r, &length) < 0 ||
                        byte_reader_copy(&r, entry.guid.bytes, sizeof(entry.guid.bytes)) < 0)
                return -EBADMSG; /* cannot happen: the caller has seen 18 bytes */
        guid_format(&entry.guid, text);
        if (length < ENTRY_HEADER_SIZE || length > *end - start)
                return error_set(reterr, -EBADMSG,
                                "firmware table entry %s at offset 0x%zx has the length %u, between %u and %zu expected",
                                text, *end - ENTRY_HEADER_SIZE, length, ENTRY_HEADER_SIZE, *end - start);
        if (info->n_entries >= OVMF_ENTRIES_MAX)
                return error_set(reterr, -EBADMSG, "firmware table has more than %u entries",
                                OVMF_ENTRIES_MAX);
        if (seen_before(info, &entry.guid))
                return error_set(reterr, -EBADMSG,
                                "firmware table has a duplicate entry %s: readers would disagree about which one is valid",
                                text);
        entry.size = length - ENTRY_HEADER_SIZE;
        entry.offset = (uint32_t) (*end - length);

        r = byte_reader(image, *end - ENTRY_HEADER_SIZE);
        if (byte_reader_seek(&r, entry.offset) < 0 || byte_reader_sub(&r, entry.size, &data) < 0)
                return -EBADMSG; /* cannot happen: length was checked */
        info->entries[info->n_entries++] = entry;
        *end -= length;
        return read_known_entry(&entry.guid, data, info, reterr);
}

static int read_table(const uint8_t *image, size_t size, uint16_t length, OvmfInfo *info, char **reterr) {
        size_t end = size - RESET_VECTOR_SIZE - ENTRY_HEADER_SIZE, start;
        int r;

        if (length < ENTRY_HEADER_SIZE || length > size - RESET_VECTOR_SIZE)
                return error_set(reterr, -EBADMSG,
                                "firmware table has the length %u, between %u and %zu expected", length,
                                ENTRY_HEADER_SIZE, size - RESET_VECTOR_SIZE);
        start = size - RESET_VECTOR_SIZE - length;
        while (end - start >= ENTRY_HEADER_SIZE) {
                r = read_entry(image, start, &end, info, reterr);
                if (r < 0)
                        return r;
        }
        if (end != start)
                return error_set(reterr, -EBADMSG,
                                "firmware table has %zu stray bytes at offset 0x%zx: its length field is wrong",
                                end - start, start);
        return 0;
}

static int check_section(const OvmfInfo *info, const OvmfSection *s, char **reterr) {
        size_t i = info->n_sections;
        uint64_t end = (uint64_t) s->gpa + s->size;
        const char *name = ovmf_section_type_to_string(s->type);
        bool single = s->type == OVMF_SECTION_SECRETS || s->type == OVMF_SECTION_CPUID ||
                        s->type == OVMF_SECTION_KERNEL_HASHES;

        if (!name)
                return error_set(reterr, -EBADMSG,
                                "SEV metadata section %zu has the unknown type 0x%" PRIx32
                                ": this firmware is newer than this program",
                                i, s->type);
        if (s->gpa % SEV_PAGE_SIZE != 0 || s->size % SEV_PAGE_SIZE != 0 || s->size == 0)
                return error_set(reterr, -EBADMSG,
                                "SEV metadata section %zu (%s, 0x%" PRIx32 "+0x%" PRIx32
                                ") does not consist of whole 4 KiB pages",
                                i, name, s->gpa, s->size);
        if (single && (s->size != SEV_PAGE_SIZE || ovmf_find_section(info, s->type)))
                return error_set(reterr, -EBADMSG,
                                "SEV metadata section %zu: exactly one page of type %s is expected", i,
                                name);
        if (s->size > OVMF_SECTION_SIZE_MAX || end > FOUR_GIB - MIN(info->size, FOUR_GIB))
                return error_set(reterr, -EBADMSG,
                                "SEV metadata section %zu (%s, 0x%" PRIx32 "+0x%" PRIx32
                                ") is out of range: it must be below the firmware and be at most %u MiB large",
                                i, name, s->gpa, s->size, OVMF_SECTION_SIZE_MAX >> 20);
        FOREACH_ARRAY(o, info->sections, info->n_sections)
                if (s->gpa < (uint64_t) o->gpa + o->size && o->gpa < end)
                        return error_set(reterr, -EBADMSG,
                                        "SEV metadata section %zu (%s, 0x%" PRIx32 "+0x%" PRIx32
                                        ") overlaps an earlier one",
                                        i, name, s->gpa, s->size);
        return 0;
}

int ovmf_add_section(OvmfInfo *info, const OvmfSection *s, char **reterr) {
        int r;

        if (info->n_sections >= OVMF_SECTIONS_MAX)
                return error_set(reterr, -EBADMSG, "SEV metadata have more than %u sections",
                                OVMF_SECTIONS_MAX);
        r = check_section(info, s, reterr);
        if (r < 0)
                return r;
        info->sections[info->n_sections++] = *s;
        return 0;
}

static int read_metadata(const uint8_t *image, size_t size, OvmfInfo *info, char **reterr) {
        ByteReader r = byte_reader(image, size);
        uint32_t length, version, count;
        uint8_t magic[4];

        if (byte_reader_seek(&r, info->metadata_offset) < 0 || byte_reader_copy(&r, magic, 4) < 0 ||
                        byte_reader_le32(&r, &length) < 0 || byte_reader_le32(&r, &version) < 0 ||
                        byte_reader_le32(&r, &count) < 0)
                return error_set(reterr, -EBADMSG, "SEV metadata are truncated at offset 0x%" PRIx32,
                                info->metadata_offset);
        if (memcmp(magic, "ASEV", 4) != 0)
                return error_set(reterr, -EBADMSG,
                                "SEV metadata at offset 0x%" PRIx32 " lack the signature ASEV",
                                info->metadata_offset);
        if (version != 1)
                return error_set(reterr, -EBADMSG,
                                "SEV metadata have the version %" PRIu32
                                ", 1 expected: this firmware is newer than this program",
                                version);
        if (count > OVMF_SECTIONS_MAX)
                return error_set(reterr, -EBADMSG,
                                "SEV metadata have %" PRIu32 " sections, at most %u expected", count,
                                OVMF_SECTIONS_MAX);
        if (length != METADATA_HEADER + METADATA_SECTION * count)
                return error_set(reterr, -EBADMSG,
                                "SEV metadata have the length %" PRIu32 ", %" PRIu32 " expected for %" PRIu32
                                " sections",
                                length, METADATA_HEADER + METADATA_SECTION * count, count);
        for (uint32_t i = 0; i < count; i++) {
                OvmfSection s;
                int k;

                if (byte_reader_le32(&r, &s.gpa) < 0 || byte_reader_le32(&r, &s.size) < 0 ||
                                byte_reader_le32(&r, &s.type) < 0)
                        return error_set(reterr, -EBADMSG, "SEV metadata are truncated in section %" PRIu32,
                                        i);
                k = ovmf_add_section(info, &s, reterr);
                if (k < 0)
                        return k;
        }
        return 0;
}

int ovmf_parse_table(const uint8_t *image, size_t size, OvmfInfo *ret, char **reterr) {
        OvmfInfo info = { .size = size };
        uint16_t length;
        int r;

        if (ovmf_footer(image, size, &length) < 0)
                return ovmf_explain_other(image, size, reterr);
        if (size >= FOUR_GIB)
                return error_set(reterr, -EBADMSG, "the firmware file is larger than 4 GiB");
        r = read_table(image, size, length, &info, reterr);
        if (r < 0)
                return r;
        info.code_half = !ovmf_starts_with_variables(image, size);
        *ret = info;
        return 0;
}

int ovmf_parse(const uint8_t *image, size_t size, OvmfInfo *ret, char **reterr) {
        OvmfInfo info;
        int r = ovmf_parse_table(image, size, &info, reterr);

        if (r < 0)
                return r;
        if (info.has_metadata) {
                r = read_metadata(image, size, &info, reterr);
                if (r < 0)
                        return r;
        }
        *ret = info;
        return 0;
}

int ovmf_require(const OvmfInfo *info, unsigned needs, char **reterr) {
        if ((needs & OVMF_NEED_METADATA) && !info->has_metadata)
                return error_set(reterr, -EOPNOTSUPP,
                                "the firmware has no SEV metadata: it was not built for SEV-SNP; " REMEDY_AMDSEV);
        if ((needs & OVMF_NEED_TDX_METADATA) && !info->has_tdx)
                return error_set(reterr, -EOPNOTSUPP,
                                "the firmware has no TDX metadata: it was not built for TDX; use " TDX_FIRMWARE_SOURCE
                                ", or name another image with --firmware= or --ovmf");
        if ((needs & OVMF_NEED_RESET) && !info->has_reset)
                return error_set(reterr, -EOPNOTSUPP,
                                "the firmware has no SEV-ES reset block: it was not built for SEV-ES; " REMEDY_AMDSEV);
        if ((needs & OVMF_NEED_HASH_TABLE) && (!info->hash_table.present || info->hash_table.base == 0))
                return error_set(reterr, -EOPNOTSUPP,
                                "a kernel was given, but the firmware has no place for kernel hashes: this is a plain OVMF build; " REMEDY_AMDSEV);
        if ((needs & OVMF_NEED_HASH_TABLE) && info->hash_table.size < SEV_HASH_TABLE_SIZE)
                return error_set(reterr, -EOPNOTSUPP,
                                "the firmware's area for kernel hashes has %" PRIu32
                                " bytes, at least %u needed; " REMEDY_AMDSEV,
                                info->hash_table.size, SEV_HASH_TABLE_SIZE);
        if ((needs & OVMF_NEED_HASH_PAGE) && !ovmf_find_section(info, OVMF_SECTION_KERNEL_HASHES))
                return error_set(reterr, -EOPNOTSUPP,
                                "a kernel was given, but the firmware's SEV metadata have no SNP_KERNEL_HASHES section; " REMEDY_AMDSEV);
        return 0;
}
