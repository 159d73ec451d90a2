/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Layout, numbers big-endian (QEMU docs/interop/qcow2.rst): a table L1 points to tables L2 of one cluster each, whose entries say where
 * a cluster of the disk is: nowhere (zeros), at an offset, or compressed in some sectors at an offset. Tables are read through a small
 * cache of pages, and the last unpacked clusters are kept: memory does not grow with the image. */

#include "qcow2.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "fd.h"
#include "overflow.h"
#include "unpack.h"

#define HEADER_SIZE_2    72u
#define HEADER_SIZE_3    104u
#define CLUSTER_BITS_MIN 9u
#define CLUSTER_BITS_MAX 21u
#define DISK_SIZE_MAX    (UINT64_C(1) << 46) /* 64 TiB; L1 is read on need, so that this costs nothing */
#define OFFSET_MASK      UINT64_C(0x00fffffffffffe00)
#define L2_COMPRESSED    (UINT64_C(1) << 62)
#define L2_ZERO          UINT64_C(1) /* version 3 */
#define SECTOR           512u

#define PAGE_SIZE 4096u
#define PAGES     64u
#define UNPACKED  4u

enum {
        INCOMPATIBLE_DIRTY = 1 << 0,
        INCOMPATIBLE_CORRUPT = 1 << 1,
        INCOMPATIBLE_DATA_FILE = 1 << 2,
        INCOMPATIBLE_COMPRESSION = 1 << 3,
        INCOMPATIBLE_EXTENDED_L2 = 1 << 4,
};

typedef struct Page {
        bool valid;
        uint64_t number;
        uint8_t data[PAGE_SIZE];
} Page;

typedef struct Unpacked {
        uint64_t entry; /* of L2; 0: empty */
        uint8_t *data;  /* owned */
} Unpacked;

struct Qcow2 {
        int fd; /* weak */
        uint64_t file_size;
        unsigned version, cluster_bits;
        uint64_t l1_offset, l1_entries;
        UnpackMethod method;
        uint8_t *packed; /* owned; a compressed cluster */
        Unpacked unpacked[UNPACKED];
        Page pages[PAGES];
};

Qcow2 *qcow2_free(Qcow2 *q) {
        if (!q)
                return NULL;
        FOREACH_ARRAY(u, q->unpacked, UNPACKED)
                free(u->data);
        free(q->packed);
        free(q);
        return NULL;
}

static uint64_t cluster_size(const Qcow2 *q) {
        return UINT64_C(1) << q->cluster_bits;
}

static int outside(uint64_t offset, char **reterr) {
        return error_set(reterr, -EBADMSG,
                        "the qcow2 image is truncated or damaged: it refers to offset %llu, beyond its end",
                        (unsigned long long) offset);
}

static int read_file(const Qcow2 *q, uint64_t offset, void *buf, size_t n, char **reterr) {
        int r;

        if (offset > q->file_size || n > q->file_size - offset)
                return outside(offset, reterr);
        r = fd_pread_exact(q->fd, buf, n, offset);
        return r < 0 ? error_set(reterr, r, "cannot read: %s", strerror(-r)) : 0;
}

/* One entry of a table: 8 bytes that do not cross a page. */
static int read_entry(Qcow2 *q, uint64_t table, uint64_t index, uint64_t *ret, char **reterr) {
        uint64_t offset, number;
        Page *page;

        if (!mul_u64(index, 8, &offset) || !add_u64(offset, table, &offset) || offset % 8 != 0)
                return outside(table, reterr);
        if (offset >= q->file_size || q->file_size - offset < 8)
                return outside(offset, reterr);
        number = offset / PAGE_SIZE;
        page = &q->pages[number % PAGES];
        if (!page->valid || page->number != number) {
                size_t n = (size_t) MIN((uint64_t) PAGE_SIZE, q->file_size - number * PAGE_SIZE);
                int r;

                page->valid = false;
                memset(page->data, 0, PAGE_SIZE);
                r = read_file(q, number * PAGE_SIZE, page->data, n, reterr);
                if (r < 0)
                        return r;
                page->valid = true;
                page->number = number;
        }
        *ret = be64_read(page->data + offset % PAGE_SIZE);
        return 0;
}

/* The entry of L2 for a cluster of the disk; 0 where nothing is. */
static int find_cluster(Qcow2 *q, uint64_t cluster, uint64_t *ret, char **reterr) {
        unsigned l2_bits = q->cluster_bits - 3;
        uint64_t l1, index = cluster >> l2_bits;
        int r;

        if (index >= q->l1_entries)
                return error_set(reterr, -EBADMSG, "the qcow2 image is damaged: its L1 table is too short");
        r = read_entry(q, q->l1_offset, index, &l1, reterr);
        if (r < 0)
                return r;
        l1 &= OFFSET_MASK;
        if (l1 == 0) {
                *ret = 0;
                return 0;
        }
        if (l1 & (cluster_size(q) - 1))
                return outside(l1, reterr);
        return read_entry(q, l1, cluster & ((UINT64_C(1) << l2_bits) - 1), ret, reterr);
}

/* "Compressed Clusters Descriptor": offset in the low bits, behind it the number of further sectors. */
static int unpack_cluster(Qcow2 *q, uint64_t entry, uint8_t *out, char **reterr) {
        unsigned x = 62 - (q->cluster_bits - 8);
        uint64_t offset = entry & ((UINT64_C(1) << x) - 1);
        uint64_t sectors = ((entry & (L2_COMPRESSED - 1)) >> x) + 1;
        uint64_t size = sectors * SECTOR - offset % SECTOR;
        int r;

        if (size > 2 * cluster_size(q) + SECTOR)
                return error_set(reterr, -EBADMSG,
                                "the qcow2 image is damaged: a compressed cluster has %llu bytes",
                                (unsigned long long) size);
        if (offset >= q->file_size)
                return outside(offset, reterr);
        /* The last sector may be cut. */
        size = MIN(size, q->file_size - offset);
        if (!q->packed) {
                q->packed = malloc(2 * cluster_size(q) + SECTOR);
                if (!q->packed)
                        return -ENOMEM;
        }
        r = read_file(q, offset, q->packed, (size_t) size, reterr);
        if (r < 0)
                return r;
        return unpack_block(q->method, q->packed, (size_t) size, out, (size_t) cluster_size(q), reterr);
}

static int get_unpacked(Qcow2 *q, uint64_t cluster, uint64_t entry, const uint8_t **ret, char **reterr) {
        Unpacked *u = &q->unpacked[cluster % UNPACKED];

        if (u->entry != entry) {
                int r;

                u->entry = 0;
                if (!u->data)
                        u->data = malloc(cluster_size(q));
                if (!u->data)
                        return -ENOMEM;
                r = unpack_cluster(q, entry, u->data, reterr);
                if (r < 0)
                        return r;
                u->entry = entry;
        }
        *ret = u->data;
        return 0;
}

static int read_cluster(Qcow2 *q, uint64_t cluster, uint64_t at, void *buf, size_t n, char **reterr) {
        const uint8_t *unpacked;
        uint64_t entry, offset;
        int r = find_cluster(q, cluster, &entry, reterr);

        if (r < 0)
                return r;
        if (entry & L2_COMPRESSED) {
                r = get_unpacked(q, cluster, entry, &unpacked, reterr);
                if (r >= 0)
                        memcpy(buf, unpacked + at, n);
                return r;
        }
        offset = entry & OFFSET_MASK;
        if (offset == 0 || (q->version >= 3 && (entry & L2_ZERO))) {
                memset(buf, 0, n);
                return 0;
        }
        if (offset & (cluster_size(q) - 1))
                return outside(offset, reterr);
        return read_file(q, offset + at, buf, n, reterr);
}

static int read_disk(const Block *b, uint64_t offset, void *buf, size_t n, char **reterr) {
        Qcow2 *q = b->userdata;

        while (n > 0) {
                uint64_t at = offset & (cluster_size(q) - 1);
                size_t k = (size_t) MIN((uint64_t) n, cluster_size(q) - at);
                int r = read_cluster(q, offset >> q->cluster_bits, at, buf, k, reterr);

                if (r < 0)
                        return r;
                offset += k;
                n -= k;
                buf = (uint8_t *) buf + k;
        }
        return 0;
}

static int check_features(const uint8_t *h, Qcow2 *q, char **reterr) {
        uint64_t bits = be64_read(h + 72);

        if (bits & INCOMPATIBLE_DATA_FILE)
                return error_set(reterr, -EPERM,
                                "the qcow2 image has an external data file, which is not opened: make it stand alone with 'qemu-img convert'");
        if (bits & (INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT))
                return error_set(reterr, -EBADMSG,
                                "the qcow2 image is marked as %s: repair it with 'qemu-img check -r all'",
                                bits & INCOMPATIBLE_CORRUPT ? "corrupt" : "not closed properly");
        if (bits & INCOMPATIBLE_EXTENDED_L2)
                return error_set(reterr, -EOPNOTSUPP,
                                "the qcow2 image has subclusters (extended L2 entries), which are not supported: convert it with 'qemu-img convert -O qcow2'");
        if (bits & ~(uint64_t) INCOMPATIBLE_COMPRESSION)
                return error_set(reterr, -EOPNOTSUPP, "the qcow2 image has unknown features (0x%llx)",
                                (unsigned long long) bits);
        if (!(bits & INCOMPATIBLE_COMPRESSION))
                return 0;
        if (be32_read(h + 100) <= HEADER_SIZE_3 || h[104] > 1)
                return error_set(reterr, -EOPNOTSUPP, "the qcow2 image is compressed by an unknown method");
        q->method = h[104] == 1 ? UNPACK_ZSTD : UNPACK_DEFLATE;
        return 0;
}

static int check_header(const uint8_t *h, Qcow2 *q, uint64_t *ret_size, char **reterr) {
        uint64_t size = be64_read(h + 24), clusters;

        q->version = be32_read(h + 4);
        q->cluster_bits = be32_read(h + 20);
        q->l1_entries = be32_read(h + 36);
        q->l1_offset = be64_read(h + 40);
        if (q->version != 2 && q->version != 3)
                return error_set(reterr, -EBADMSG, "a qcow2 image of version %u, expected 2 or 3",
                                q->version);
        if (be64_read(h + 8) != 0)
                return error_set(reterr, -EPERM,
                                "the qcow2 image has a backing file, which is not opened: make it stand alone with 'qemu-img convert'");
        if (be32_read(h + 32) != 0)
                return error_set(reterr, -EOPNOTSUPP,
                                "the qcow2 image is encrypted in its format, which is not supported");
        if (q->cluster_bits < CLUSTER_BITS_MIN || q->cluster_bits > CLUSTER_BITS_MAX || size > DISK_SIZE_MAX)
                return error_set(reterr, -EBADMSG,
                                "the qcow2 header is damaged: clusters of 2^%u bytes, %llu bytes in all",
                                q->cluster_bits, (unsigned long long) size);
        clusters = (size + cluster_size(q) - 1) >> q->cluster_bits;
        if (q->l1_offset & (cluster_size(q) - 1) ||
                        q->l1_entries < (clusters + (cluster_size(q) / 8) - 1) / (cluster_size(q) / 8))
                return error_set(reterr, -EBADMSG,
                                "the qcow2 header is damaged: its L1 table does not fit the size");
        *ret_size = size;
        return q->version == 3 ? check_features(h, q, reterr) : 0;
}

int qcow2_open(int fd, Qcow2 **ret, Block *ret_block, char **reterr) {
        _cleanup_(qcow2_freep) Qcow2 *q = calloc(1, sizeof(Qcow2));
        uint8_t h[HEADER_SIZE_3 + 8] = {};
        uint64_t size = 0;
        Block file;
        int r;

        if (!q)
                return -ENOMEM;
        r = block_from_fd(fd, &file, reterr);
        if (r < 0)
                return r;
        q->fd = fd;
        q->file_size = file.size;
        if (file.size < HEADER_SIZE_2 ||
                        fd_pread_exact(fd, h, MIN(file.size, (uint64_t) sizeof(h)), 0) < 0 ||
                        memcmp(h, "QFI\xfb", 4) != 0)
                return error_set(reterr, -EBADMSG, "not a qcow2 image");
        r = check_header(h, q, &size, reterr);
        if (r < 0)
                return r;
        *ret_block = (Block) { .read = read_disk, .userdata = q, .size = size };
        *ret = TAKE_PTR(q);
        return 0;
}
