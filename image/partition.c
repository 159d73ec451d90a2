/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "partition.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "overflow.h"

#define ENTRIES_MAX   1024u /* 128 is what tools write */
#define ENTRY_SIZE    128u
#define ENTRY_MAX     4096u
#define HEADER_SIZE   92u
#define HEADER_MAX    512u
#define LOGICAL_MAX   128u /* links of an extended partition */
#define MBR_SIZE      512u
#define MBR_SECTOR    512u
#define MBR_TABLE     446u
#define MBR_EXTENDED  0x05u
#define MBR_EXTENDED2 0x0fu
#define MBR_EXTENDED3 0x85u
#define MBR_ESP       0xefu
#define MBR_SWAP      0x82u

static const Guid type_esp =
                GUID_INIT(0xc12a7328, 0xf81f, 0x11d2, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b);
static const Guid type_xbootldr =
                GUID_INIT(0xbc13c2ff, 0x59e6, 0x4262, 0xa3, 0x52, 0xb2, 0x75, 0xfd, 0x6f, 0x71, 0x72);
static const Guid types_passed_over[] = {
        /* BIOS boot partition of GRUB */
        GUID_INIT(0x21686148, 0x6449, 0x6e6f, 0x74, 0x4e, 0x65, 0x65, 0x64, 0x45, 0x46, 0x49),
        /* swap */
        GUID_INIT(0x0657fd6d, 0xa4ab, 0x43c4, 0x84, 0xe5, 0x09, 0x33, 0xc8, 0x4b, 0x4f, 0x4f),
        /* verity hashes and their signatures, x86-64, of root and usr */
        GUID_INIT(0x2c7357ed, 0xebd2, 0x46d9, 0xae, 0xc1, 0x23, 0xd4, 0x37, 0xec, 0x2b, 0xf5),
        GUID_INIT(0x41092b05, 0x9fc8, 0x4523, 0x99, 0x4f, 0x2d, 0xef, 0x04, 0x08, 0xb1, 0x76),
        GUID_INIT(0x77ff5f63, 0xe7b6, 0x4633, 0xac, 0xf4, 0x15, 0x65, 0xb8, 0x64, 0xc0, 0xe6),
        GUID_INIT(0xe7bb33fb, 0x06cf, 0x4e81, 0x82, 0x73, 0xe5, 0x43, 0xb4, 0x13, 0xe2, 0xe2),
};

static const char *const kinds[] = {
        [PARTITION_TABLE_NONE] = "none",
        [PARTITION_TABLE_MBR] = "mbr",
        [PARTITION_TABLE_GPT] = "gpt",
};
static_assert(ELEMENTSOF(kinds) == _PARTITION_TABLE_MAX, "one name per kind");

const char *partition_table_kind_to_string(PartitionTableKind kind) {
        return kinds[kind];
}

void partition_table_done(PartitionTable *t) {
        free(t->items);
        *t = (PartitionTable) {};
}

bool partition_is_esp(const Partition *p) {
        return guid_equal(&p->type, &type_esp) || p->mbr_type == MBR_ESP;
}

bool partition_is_xbootldr(const Partition *p) {
        return guid_equal(&p->type, &type_xbootldr);
}

bool partition_is_passed_over(const Partition *p) {
        FOREACH_ARRAY(g, types_passed_over, ELEMENTSOF(types_passed_over))
                if (guid_equal(&p->type, g))
                        return true;
        return p->mbr_type == MBR_SWAP;
}

static int add(PartitionTable *t, const Partition *p) {
        Partition *items = reallocarray(t->items, t->n_items + 1, sizeof(Partition));

        if (!items)
                return -ENOMEM;
        t->items = items;
        t->items[t->n_items++] = *p;
        return 0;
}

/* ISO 3309, as UEFI has it. */
static uint32_t crc32_more(uint32_t crc, const uint8_t *p, size_t n) {
        for (size_t i = 0; i < n; i++) {
                crc ^= p[i];
                for (unsigned k = 0; k < 8; k++)
                        crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
        }
        return crc;
}

typedef struct GptHeader {
        uint64_t entries;
        uint32_t n, size, crc;
} GptHeader;

/* 1 for a good header, 0 where there is none, -EBADMSG for a damaged one. */
static int read_header(const Block *disk, uint64_t offset, unsigned sector, GptHeader *ret) {
        uint8_t h[HEADER_MAX];
        uint32_t size, crc;
        uint64_t lba;

        if (block_read(disk, offset, h, sizeof(h), NULL) < 0 || memcmp(h, "EFI PART", 8) != 0)
                return 0;
        size = le32_read(h + 12);
        crc = le32_read(h + 16);
        if (size < HEADER_SIZE || size > HEADER_MAX)
                return -EBADMSG;
        memset(h + 16, 0, 4);
        if (~crc32_more(UINT32_MAX, h, size) != crc)
                return -EBADMSG;
        lba = le64_read(h + 72);
        *ret = (GptHeader) { .n = le32_read(h + 80), .size = le32_read(h + 84), .crc = le32_read(h + 88) };
        if (ret->n > ENTRIES_MAX || ret->size < ENTRY_SIZE || ret->size > ENTRY_MAX || ret->size % 8 != 0 ||
                        !mul_u64(lba, sector, &ret->entries))
                return -EBADMSG;
        return 1;
}

static void read_label(const uint8_t *p, char ret[static PARTITION_LABEL_MAX + 1]) {
        size_t i;

        for (i = 0; i < PARTITION_LABEL_MAX; i++) {
                uint16_t c = le16_read(p + 2 * i);

                if (c == 0)
                        break;
                ret[i] = (char) (c >= ' ' && c < 0x7f ? c : '?');
        }
        ret[i] = 0;
}

static int read_entry(const uint8_t *p, unsigned number, unsigned sector, PartitionTable *t) {
        uint64_t first = le64_read(p + 32), last = le64_read(p + 40), size;
        Partition part = { .number = number };

        if (bytes_are_zero(p, 16))
                return 0;
        if (last < first || !add_u64(last - first, 1, &size) || !mul_u64(size, sector, &part.size) ||
                        !mul_u64(first, sector, &part.offset))
                return -EBADMSG;
        memcpy(part.type.bytes, p, 16);
        memcpy(part.id.bytes, p + 16, 16);
        read_label(p + 56, part.label);
        return add(t, &part);
}

static int read_entries(const Block *disk, const GptHeader *h, unsigned sector, PartitionTable *t) {
        size_t size = (size_t) h->n * h->size;
        _cleanup_free_ uint8_t *entries = malloc(MAX(size, (size_t) 1));
        int r;

        if (!entries)
                return -ENOMEM;
        r = block_read(disk, h->entries, entries, size, NULL);
        if (r < 0 || ~crc32_more(UINT32_MAX, entries, size) != h->crc)
                return -EBADMSG;
        for (uint32_t i = 0; i < h->n; i++) {
                r = read_entry(entries + (size_t) i * h->size, i + 1, sector, t);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* 1 for a GPT, 0 for none; a damaged one is replaced by its copy at the end of the disk. */
static int read_gpt(const Block *disk, unsigned sector, PartitionTable *t) {
        GptHeader h;
        int first, r = read_header(disk, sector, sector, &h);

        if (r > 0)
                r = read_entries(disk, &h, sector, t) ?: 1;
        if (r >= 0 || r == -ENOMEM)
                return r;
        first = r;
        partition_table_done(t);
        r = disk->size > sector ? read_header(disk, disk->size - sector, sector, &h) : 0;
        if (r > 0)
                r = read_entries(disk, &h, sector, t) ?: 1;
        return r == 0 ? first : r;
}

static int add_mbr(const uint8_t *p, unsigned number, uint64_t base, PartitionTable *t) {
        Partition part = {
                .number = number,
                .mbr_type = p[4],
                .offset = (base + le32_read(p + 8)) * MBR_SECTOR,
                .size = (uint64_t) le32_read(p + 12) * MBR_SECTOR,
        };

        return add(t, &part);
}

static bool is_extended(uint8_t type) {
        return type == MBR_EXTENDED || type == MBR_EXTENDED2 || type == MBR_EXTENDED3;
}

/* A chain of tables: each has one partition, relative to itself, and the place of the next, relative to the first. */
static int read_logical(const Block *disk, uint64_t first, PartitionTable *t) {
        uint64_t at = first;

        for (unsigned i = 0; i < LOGICAL_MAX; i++) {
                uint8_t mbr[MBR_SIZE];
                const uint8_t *p = mbr + MBR_TABLE;
                int r = block_read(disk, at * MBR_SECTOR, mbr, sizeof(mbr), NULL);

                if (r < 0 || le16_read(mbr + 510) != 0xaa55)
                        return -EBADMSG;
                if (p[4] != 0) {
                        r = add_mbr(p, 5 + i, at, t);
                        if (r < 0)
                                return r;
                }
                if (!is_extended(p[16 + 4]))
                        return 0;
                at = first + le32_read(p + 16 + 8);
        }
        return -ELOOP;
}

/* 1 for an MBR, 0 for something else. */
static int read_mbr(const Block *disk, PartitionTable *t) {
        uint8_t mbr[MBR_SIZE];
        unsigned used = 0;

        if (block_read(disk, 0, mbr, sizeof(mbr), NULL) < 0 || le16_read(mbr + 510) != 0xaa55)
                return 0;
        for (const uint8_t *p = mbr + MBR_TABLE; p < mbr + 510; p += 16) {
                /* Boot sectors of file systems have program text here. */
                if (p[0] != 0 && p[0] != 0x80)
                        return 0;
                used += p[4] != 0;
        }
        if (used == 0)
                return 0;
        for (unsigned i = 0; i < 4; i++) {
                const uint8_t *p = mbr + MBR_TABLE + (size_t) 16 * i;
                int r = 0;

                if (is_extended(p[4]))
                        r = read_logical(disk, le32_read(p + 8), t);
                else if (p[4] != 0)
                        r = add_mbr(p, i + 1, 0, t);
                if (r < 0)
                        return r;
        }
        return 1;
}

int partition_table_read(const Block *disk, PartitionTable *ret, char **reterr) {
        _cleanup_(partition_table_done) PartitionTable t = {};
        int r = read_gpt(disk, 512, &t);

        t.kind = PARTITION_TABLE_GPT;
        if (r == 0)
                r = read_gpt(disk, 4096, &t);
        if (r == 0) {
                t.kind = PARTITION_TABLE_MBR;
                r = read_mbr(disk, &t);
        }
        if (r == 0)
                t.kind = PARTITION_TABLE_NONE;
        if (r == -ELOOP)
                return error_set(reterr, r,
                                "the chain of logical partitions has no end: the partition table is damaged");
        if (r == -EBADMSG)
                return error_set(reterr, r,
                                "the partition table (%s) is damaged; a GPT is repaired with 'sgdisk -e' or 'sfdisk --verify'",
                                t.kind == PARTITION_TABLE_GPT ? "GPT" : "MBR");
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(t, (PartitionTable) {});
        return 0;
}
