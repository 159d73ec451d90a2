/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "firmware-igvm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "sev-abi.h"

/* igvm_defs: IGVM_FIXED_HEADER. */
#define FIXED_HEADER_V1 24u
#define FIXED_HEADER_V2 32u /* and architecture, page size */
#define CHECKSUM_OFFSET 20u
#define OPTIONAL_BIT    (UINT32_C(1) << 31) /* a loader that does not know such a header may go on */
#define LARGE_PAGES     512u                /* 2 MiB in pages of 4 KiB */

enum {
        VHT_SUPPORTED_PLATFORM = 0x1,
        VHT_PLATFORM_LAST = 0x100,
        VHT_INIT_LAST = 0x200,
        VHT_PARAMETER_AREA = 0x301,
        VHT_PAGE_DATA = 0x302,
        VHT_PARAMETER_INSERT = 0x303,
        VHT_VP_CONTEXT = 0x304,
        VHT_DIRECTIVE_FIRST = 0x301,
        VHT_SNP_ID_BLOCK = 0x30b,
        VHT_DIRECTIVE_LAST = 0x313,
};

enum { FLAG_2MB = 1 << 0, FLAG_UNMEASURED = 1 << 1, FLAG_SHARED = 1 << 2 };

static const char *const platform_names[] = {
        [IGVM_PLATFORM_NATIVE] = "native",
        [IGVM_PLATFORM_VSM] = "vsm",
        [IGVM_PLATFORM_SEV_SNP] = "sev-snp",
        [IGVM_PLATFORM_TDX] = "tdx",
        [IGVM_PLATFORM_SEV] = "sev",
        [IGVM_PLATFORM_SEV_ES] = "sev-es",
};

const char *igvm_platform_to_string(unsigned p) {
        return p < ELEMENTSOF(platform_names) ? platform_names[p] : NULL;
}

/* CRC-32 of IEEE 802.3, reflected, four bits a step. */
static uint32_t crc32_update(uint32_t crc, const uint8_t *p, size_t n) {
        static const uint32_t table[16] = { 0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190,
                0x6b6b51f4, 0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c };

        for (; n > 0; n--) {
                crc ^= *p++;
                crc = table[crc & 15] ^ crc >> 4;
                crc = table[crc & 15] ^ crc >> 4;
        }
        return crc;
}

static int check_sum(const uint8_t *data, size_t fixed, size_t offset, size_t length, char **reterr) {
        static const uint8_t zeros[4];
        uint32_t crc = UINT32_MAX, wanted = le32_read(data + CHECKSUM_OFFSET);

        crc = crc32_update(crc, data, CHECKSUM_OFFSET);
        crc = crc32_update(crc, zeros, sizeof(zeros));
        crc = crc32_update(crc, data + CHECKSUM_OFFSET + 4, fixed - CHECKSUM_OFFSET - 4);
        crc = ~crc32_update(crc, data + offset, length);
        if (crc != wanted)
                return error_set(reterr, -EBADMSG,
                                "IGVM header has the checksum 0x%08" PRIx32 ", expected 0x%08" PRIx32
                                ": the file was damaged or edited",
                                wanted, crc);
        return 0;
}

/* Moves to the next variable header: type and a reader over its body. 0 at the end. */
static int next_header(IgvmFile *f, uint32_t *ret_type, ByteReader *ret_body, char **reterr) {
        uint32_t type, length;
        size_t pad;

        if (byte_reader_left(&f->headers) == 0)
                return 0;
        if (byte_reader_le32(&f->headers, &type) < 0 || byte_reader_le32(&f->headers, &length) < 0 ||
                        byte_reader_sub(&f->headers, length, ret_body) < 0)
                return error_set(reterr, -EBADMSG, "IGVM variable header %u is truncated", f->index);
        pad = (8 - length % 8) % 8;
        if (byte_reader_skip(&f->headers, MIN(pad, byte_reader_left(&f->headers))) < 0)
                return -EBADMSG;
        f->index++;
        *ret_type = type;
        return 1;
}

static int short_header(const IgvmFile *f, uint32_t type, char **reterr) {
        return error_set(reterr, -EBADMSG, "IGVM variable header %u (type 0x%" PRIx32 ") is too short",
                        f->index - 1, type);
}

static int read_platform(IgvmFile *f, ByteReader body, char **reterr) {
        uint32_t mask;
        uint8_t vtl, platform;

        if (byte_reader_le32(&body, &mask) < 0 || byte_reader_u8(&body, &vtl) < 0 ||
                        byte_reader_u8(&body, &platform) < 0)
                return short_header(f, VHT_SUPPORTED_PLATFORM, reterr);
        if (f->n_platforms >= IGVM_PLATFORMS_MAX)
                return error_set(reterr, -EBADMSG, "IGVM file names more than %u platforms",
                                IGVM_PLATFORMS_MAX);
        if (mask == 0 || (mask & (mask - 1)) != 0)
                return error_set(reterr, -EBADMSG,
                                "IGVM platform %zu has the mask 0x%" PRIx32 ", one bit expected",
                                f->n_platforms, mask);
        f->masks[f->n_platforms] = mask;
        f->platforms[f->n_platforms++] = platform;
        return 0;
}

int igvm_open(const uint8_t *data, size_t size, IgvmFile *ret, char **reterr) {
        IgvmFile f = { .data = data, .size = size };
        uint32_t magic, version, offset, length, total;
        ByteReader r = byte_reader(data, size), body;
        size_t fixed;
        int k;

        if (byte_reader_le32(&r, &magic) < 0 || magic != IGVM_MAGIC)
                return error_set(reterr, -EBADMSG, "not an IGVM file: it does not begin with \"IGVM\"");
        if (byte_reader_le32(&r, &version) < 0 || byte_reader_le32(&r, &offset) < 0 ||
                        byte_reader_le32(&r, &length) < 0 || byte_reader_le32(&r, &total) < 0)
                return error_set(reterr, -EBADMSG, "IGVM header is truncated");
        if (version != 1 && version != 2)
                return error_set(reterr, -EBADMSG,
                                "IGVM file has the format version %" PRIu32
                                ", 1 or 2 expected: it is newer than this program",
                                version);
        fixed = version == 1 ? FIXED_HEADER_V1 : FIXED_HEADER_V2;
        if (size < fixed || total != size)
                return error_set(reterr, -EBADMSG,
                                "IGVM file has %zu bytes, but its header says %" PRIu32
                                ": it was truncated, or bytes were appended",
                                size, total);
        if (version == 2 && (le32_read(data + 24) != 0 || le32_read(data + 28) != SEV_PAGE_SIZE))
                return error_set(reterr, -EBADMSG, "IGVM file is not for x86-64 with pages of 4 KiB");
        r = byte_reader(data, size);
        if (offset < fixed || byte_reader_seek(&r, offset) < 0 ||
                        byte_reader_sub(&r, length, &f.headers) < 0)
                return error_set(reterr, -EBADMSG,
                                "IGVM variable headers (0x%" PRIx32 "+0x%" PRIx32 ") exceed the file",
                                offset, length);
        k = check_sum(data, fixed, offset, length, reterr);
        if (k < 0)
                return k;

        /* Platforms stand first. */
        for (;;) {
                IgvmFile before = f;
                uint32_t type;

                k = next_header(&f, &type, &body, reterr);
                if (k < 0)
                        return k;
                if (k == 0 || type != VHT_SUPPORTED_PLATFORM) {
                        f = before;
                        break;
                }
                k = read_platform(&f, body, reterr);
                if (k < 0)
                        return k;
        }
        if (f.n_platforms == 0)
                return error_set(reterr, -EBADMSG, "IGVM file names no platform");
        *ret = f;
        return 0;
}

int igvm_platform_mask(const IgvmFile *f, IgvmPlatform platform, uint32_t *ret, char **reterr) {
        char names[128] = "";
        size_t n = 0;

        for (size_t i = 0; i < f->n_platforms; i++) {
                const char *name = igvm_platform_to_string(f->platforms[i]);

                if (f->platforms[i] == platform) {
                        *ret = f->masks[i];
                        return 0;
                }
                if (n < sizeof(names))
                        n += (size_t) snprintf(names + n, sizeof(names) - n, "%s%s", n > 0 ? ", " : "",
                                        name ?: "unknown");
        }
        return error_set(reterr, -ENOENT, "IGVM file is not for %s, only for %s",
                        igvm_platform_to_string(platform), names);
}

/* n bytes of the file's data. */
static int file_data(const IgvmFile *f, uint32_t offset, uint64_t n, const uint8_t **ret, char **reterr) {
        ByteReader r = byte_reader(f->data, f->size);

        if (byte_reader_seek(&r, offset) < 0 || byte_reader_left(&r) < n ||
                        byte_reader_take(&r, (size_t) n, ret) < 0)
                return error_set(reterr, -EBADMSG,
                                "IGVM variable header %u points at 0x%" PRIx32 "+0x%" PRIx64
                                ", after the end of the file",
                                f->index - 1, offset, n);
        return 0;
}

static int count_pages(IgvmFile *f, const IgvmDirective *d, char **reterr) {
        f->n_pages += d->n_pages;
        if (d->n_pages > IGVM_PAGES_MAX || f->n_pages > IGVM_PAGES_MAX)
                return error_set(reterr, -EBADMSG, "IGVM file has more than %u pages", IGVM_PAGES_MAX);
        if (d->gpa % SEV_PAGE_SIZE != 0 || d->gpa > UINT64_MAX - d->n_pages * SEV_PAGE_SIZE)
                return error_set(reterr, -EBADMSG,
                                "IGVM variable header %u: address 0x%" PRIx64 " is not page-aligned",
                                f->index - 1, d->gpa);
        return 0;
}

static int read_pages(IgvmFile *f, ByteReader body, IgvmDirective *d, char **reterr) {
        uint32_t offset, flags;
        uint16_t type;
        int r;

        if (byte_reader_le64(&body, &d->gpa) < 0 || byte_reader_le32(&body, &d->mask) < 0 ||
                        byte_reader_le32(&body, &offset) < 0 || byte_reader_le32(&body, &flags) < 0 ||
                        byte_reader_le16(&body, &type) < 0)
                return short_header(f, VHT_PAGE_DATA, reterr);
        if ((flags & ~(uint32_t) (FLAG_2MB | FLAG_UNMEASURED | FLAG_SHARED)) != 0 ||
                        type > IGVM_DATA_CPUID_XF)
                return error_set(reterr, -EBADMSG,
                                "IGVM variable header %u: page flags 0x%" PRIx32
                                " or data type %u are unknown",
                                f->index - 1, flags, type);
        d->kind = IGVM_PAGES;
        d->n_pages = flags & FLAG_2MB ? LARGE_PAGES : 1;
        d->unmeasured = flags & FLAG_UNMEASURED;
        d->shared = flags & FLAG_SHARED;
        d->data_type = type;
        r = count_pages(f, d, reterr);
        return r < 0 || offset == 0 ? r : file_data(f, offset, d->n_pages * SEV_PAGE_SIZE, &d->data, reterr);
}

static int read_area(IgvmFile *f, ByteReader body, char **reterr) {
        uint64_t size;
        uint32_t index;

        if (byte_reader_le64(&body, &size) < 0 || byte_reader_le32(&body, &index) < 0)
                return short_header(f, VHT_PARAMETER_AREA, reterr);
        if (f->n_areas >= IGVM_AREAS_MAX || size > (uint64_t) IGVM_PAGES_MAX * SEV_PAGE_SIZE)
                return error_set(reterr, -EBADMSG,
                                "IGVM variable header %u: too many or too large parameter areas",
                                f->index - 1);
        for (size_t i = 0; i < f->n_areas; i++)
                if (f->area_index[i] == index)
                        return error_set(reterr, -EBADMSG,
                                        "IGVM variable header %u: parameter area %" PRIu32 " exists twice",
                                        f->index - 1, index);
        f->area_index[f->n_areas] = index;
        f->area_size[f->n_areas++] = size;
        return 0;
}

static int read_insert(IgvmFile *f, ByteReader body, IgvmDirective *d, char **reterr) {
        uint32_t index;

        if (byte_reader_le64(&body, &d->gpa) < 0 || byte_reader_le32(&body, &d->mask) < 0 ||
                        byte_reader_le32(&body, &index) < 0)
                return short_header(f, VHT_PARAMETER_INSERT, reterr);
        for (size_t i = 0; i < f->n_areas; i++)
                if (f->area_index[i] == index) {
                        d->kind = IGVM_INSERT;
                        d->n_pages = (f->area_size[i] + SEV_PAGE_SIZE - 1) / SEV_PAGE_SIZE;
                        return count_pages(f, d, reterr);
                }
        return error_set(reterr, -EBADMSG,
                        "IGVM variable header %u: parameter area %" PRIu32 " does not exist", f->index - 1,
                        index);
}

static int read_context(IgvmFile *f, ByteReader body, IgvmDirective *d, char **reterr) {
        uint32_t offset;
        uint16_t index;

        if (byte_reader_le64(&body, &d->gpa) < 0 || byte_reader_le32(&body, &d->mask) < 0 ||
                        byte_reader_le32(&body, &offset) < 0 || byte_reader_le16(&body, &index) < 0)
                return short_header(f, VHT_VP_CONTEXT, reterr);
        d->kind = IGVM_VP_CONTEXT;
        d->vp_index = index;
        d->n_pages = 1;
        /* Other platforms describe a vCPU in other formats. */
        for (size_t i = 0; i < f->n_platforms; i++)
                if ((d->mask & f->masks[i]) &&
                                (f->platforms[i] == IGVM_PLATFORM_SEV_SNP ||
                                                f->platforms[i] == IGVM_PLATFORM_SEV_ES)) {
                        int r = count_pages(f, d, reterr);

                        return r < 0 ? r : file_data(f, offset, SEV_PAGE_SIZE, &d->data, reterr);
                }
        return 0;
}

static int read_id_block(IgvmFile *f, ByteReader body, IgvmDirective *d, char **reterr) {
        if (byte_reader_le32(&body, &d->mask) < 0 || byte_reader_skip(&body, 4) < 0 ||
                        byte_reader_take(&body, 48, &d->expected) < 0)
                return short_header(f, VHT_SNP_ID_BLOCK, reterr);
        d->kind = IGVM_ID_BLOCK;
        return 0;
}

int igvm_next(IgvmFile *f, IgvmDirective *ret, char **reterr) {
        IgvmDirective d = { .kind = IGVM_OTHER, .mask = UINT32_MAX };
        ByteReader body;
        int r;

        r = next_header(f, &d.type, &body, reterr);
        if (r <= 0)
                return r;
        switch (d.type) {
        case VHT_PAGE_DATA:
                r = read_pages(f, body, &d, reterr);
                break;
        case VHT_PARAMETER_AREA:
                r = read_area(f, body, reterr);
                break;
        case VHT_PARAMETER_INSERT:
                r = read_insert(f, body, &d, reterr);
                break;
        case VHT_VP_CONTEXT:
                r = read_context(f, body, &d, reterr);
                break;
        case VHT_SNP_ID_BLOCK:
                r = read_id_block(f, body, &d, reterr);
                break;
        case VHT_SUPPORTED_PLATFORM:
                return error_set(reterr, -EBADMSG,
                                "IGVM variable header %u names a platform after other headers",
                                f->index - 1);
        default:
                /* Initialisation headers and the known rest change nothing that is measured here. */
                if (!(d.type & OPTIONAL_BIT) &&
                                (d.type <= VHT_PLATFORM_LAST ||
                                                (d.type > VHT_INIT_LAST && d.type < VHT_DIRECTIVE_FIRST) ||
                                                d.type > VHT_DIRECTIVE_LAST))
                        return error_set(reterr, -EBADMSG,
                                        "IGVM variable header %u has the unknown type 0x%" PRIx32
                                        ": this file is newer than this program",
                                        f->index - 1, d.type);
        }
        if (r < 0)
                return r;
        *ret = d;
        return 1;
}
