/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fat.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "bytes.h"
#include "error.h"

#define SECTOR_MIN     512u
#define SECTOR_MAX     4096u
#define CLUSTER_MAX    (256u * 1024u)
#define ENTRY_SIZE     32u
#define LONG_UNITS     13u /* UTF-16 units of an entry that carries a part of a long name */
#define LONG_ENTRIES   20u
#define CLUSTERS_FAT12 4085u /* fewer clusters than this: FAT12; than the next: FAT16 */
#define CLUSTERS_FAT16 65525u
#define CLUSTERS_MAX   UINT32_C(0x0ffffff6)
#define PAGE_SIZE      4096u

enum {
        ATTRIBUTE_VOLUME = 0x08,
        ATTRIBUTE_DIRECTORY = 0x10,
        ATTRIBUTE_LONG = 0x0f,
};

typedef struct Fat {
        unsigned sector, cluster, bits; /* bytes, bytes, 12|16|32 */
        uint64_t fat, fat_size;         /* offsets and sizes in bytes */
        uint64_t root, root_size;       /* FAT12 and FAT16: of a fixed size */
        uint64_t data;
        uint32_t n_clusters, root_cluster;
        bool page_valid;
        uint64_t page_at;
        uint8_t page[PAGE_SIZE + 4]; /* of the table; an entry of FAT12 can cross its end */
        /* Where a sequential reader is: the cluster of file `file` that begins at byte `at`. */
        uint32_t walk_first, walk_cluster, walk_index;
} Fat;

typedef struct DirEntry {
        char name[VOLUME_NAME_MAX * 4 + 1];
        char short_name[13];
        bool directory;
        uint32_t first, size;
} DirEntry;

/* --- the table ------------------------------------------------------------------------------------------------------- */

static int read_boot(const Block *b, Fat *f) {
        uint8_t s[SECTOR_MIN];
        uint64_t total, reserved, n_fats, fat_sectors;

        if (block_read(b, 0, s, sizeof(s), NULL) < 0)
                return -EBADMSG;
        f->sector = le16_read(s + 11);
        f->cluster = f->sector * s[13];
        reserved = le16_read(s + 14);
        n_fats = s[16];
        f->root_size = (uint64_t) le16_read(s + 17) * ENTRY_SIZE;
        total = le16_read(s + 19) ?: le32_read(s + 32);
        fat_sectors = le16_read(s + 22) ?: le32_read(s + 36);
        if ((s[0] != 0xeb && s[0] != 0xe9) || f->sector < SECTOR_MIN || f->sector > SECTOR_MAX ||
                        (f->sector & (f->sector - 1)) != 0 || s[13] == 0 || (s[13] & (s[13] - 1)) != 0 ||
                        f->cluster > CLUSTER_MAX || reserved == 0 || n_fats == 0 || n_fats > 2 ||
                        total == 0 || fat_sectors == 0 || (s[21] != 0xf0 && s[21] < 0xf8) ||
                        le16_read(s + 510) != 0xaa55)
                return -EBADMSG;
        f->fat = reserved * f->sector;
        f->fat_size = fat_sectors * f->sector;
        f->root = f->fat + n_fats * f->fat_size;
        f->data = f->root + (f->root_size + f->sector - 1) / f->sector * f->sector;
        if (total * f->sector <= f->data)
                return -EBADMSG;
        if ((total * f->sector - f->data) / f->cluster > CLUSTERS_MAX)
                return -EBADMSG;
        f->n_clusters = (uint32_t) ((total * f->sector - f->data) / f->cluster);
        f->bits = f->n_clusters < CLUSTERS_FAT12 ? 12 : f->n_clusters < CLUSTERS_FAT16 ? 16 : 32;
        /* What mkfs.vfat -F 32 makes of small disks is told by the size of the root directory. */
        if (le16_read(s + 22) == 0 && f->root_size == 0)
                f->bits = 32;
        f->root_cluster = f->bits == 32 ? le32_read(s + 44) : 0;
        return 0;
}

bool fat_probe(const Block *b) {
        Fat f = {};

        return read_boot(b, &f) >= 0;
}

/* Nothing that comes from the table or from a directory is used as a cluster's number without this. */
static bool is_cluster(const Fat *f, uint32_t c) {
        return c >= 2 && c - 2 < f->n_clusters;
}

static int damaged(const char *what, char **reterr) {
        return error_set(reterr, -EBADMSG, "the file system is damaged: %s", what);
}

/* The cluster after this one; 0 at the end. */
static int next_cluster(const Volume *v, uint32_t c, uint32_t *ret, char **reterr) {
        Fat *f = v->state;
        uint64_t at = f->bits == 12 ? (uint64_t) c + c / 2 : (uint64_t) c * (f->bits / 8);
        uint64_t page = at / PAGE_SIZE * PAGE_SIZE;
        uint32_t end = f->bits == 12 ? 0xff8 : f->bits == 16 ? 0xfff8 : 0x0ffffff8, value;
        const uint8_t *p;

        if (at + 4 > f->fat_size + 2)
                return damaged("a chain of clusters leaves the table", reterr);
        if (!f->page_valid || f->page_at != page) {
                size_t n = (size_t) MIN((uint64_t) sizeof(f->page), f->fat_size - page);
                int r;

                f->page_valid = false;
                memset(f->page, 0, sizeof(f->page));
                r = block_read(&v->block, f->fat + page, f->page, n, reterr);
                if (r < 0)
                        return r;
                f->page_valid = true;
                f->page_at = page;
        }
        p = f->page + (at - page);
        if (f->bits == 12)
                value = c % 2 ? le16_read(p) >> 4 : le16_read(p) & 0xfff;
        else
                value = f->bits == 16 ? le16_read(p) : le32_read(p) & 0x0fffffff;
        if (value < end && !is_cluster(f, value))
                return damaged("a chain of clusters has no end", reterr);
        *ret = value >= end ? 0 : value;
        return 0;
}

/* The cluster with this index in the chain that begins with `first`; -ENODATA behind its end. */
static int walk(const Volume *v, uint32_t first, uint32_t index, uint32_t *ret, char **reterr) {
        Fat *f = v->state;

        if (!is_cluster(f, first))
                return damaged("a file begins outside of the clusters", reterr);
        if (f->walk_first != first || f->walk_index > index) {
                f->walk_first = f->walk_cluster = first;
                f->walk_index = 0;
        }
        while (f->walk_index < index) {
                uint32_t next;
                int r = next_cluster(v, f->walk_cluster, &next, reterr);

                if (r < 0)
                        return r;
                if (next == 0)
                        return -ENODATA;
                if (f->walk_index >= f->n_clusters)
                        return damaged("a chain of clusters is a cycle", reterr);
                f->walk_cluster = next;
                f->walk_index++;
        }
        *ret = f->walk_cluster;
        return 0;
}

static int read_chain(const Volume *v, uint32_t first, uint64_t offset, void *buf, size_t n, char **reterr) {
        Fat *f = v->state;

        while (n > 0) {
                uint64_t at = offset % f->cluster;
                size_t k = (size_t) MIN((uint64_t) n, f->cluster - at);
                uint32_t c;
                int r = walk(v, first, (uint32_t) (offset / f->cluster), &c, reterr);

                if (r >= 0)
                        r = block_read(&v->block, f->data + (uint64_t) (c - 2) * f->cluster + at, buf, k,
                                        reterr);
                if (r < 0)
                        return r;
                offset += k;
                n -= k;
                buf = (uint8_t *) buf + k;
        }
        return 0;
}

/* --- directories ----------------------------------------------------------------------------------------------------- */

typedef struct LongName {
        uint16_t units[LONG_ENTRIES * LONG_UNITS + 1];
        uint8_t checksum, expected; /* the number of the entry that is next; 0: complete */
        bool valid;
} LongName;

static void long_part(const uint8_t *e, LongName *l) {
        static const uint8_t places[LONG_UNITS] = { 1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30 };
        unsigned number = e[0] & 0x3f;

        if (e[0] & 0x40) {
                *l = (LongName) { .checksum = e[13], .expected = (uint8_t) number, .valid = true };
                if (number == 0 || number > LONG_ENTRIES)
                        l->valid = false;
        }
        if (!l->valid || number == 0 || number != l->expected || e[13] != l->checksum) {
                l->valid = false;
                return;
        }
        for (unsigned i = 0; i < LONG_UNITS; i++)
                l->units[(number - 1) * LONG_UNITS + i] = le16_read(e + places[i]);
        l->expected--;
}

static uint8_t checksum(const uint8_t *name) {
        uint8_t sum = 0;

        for (unsigned i = 0; i < 11; i++)
                sum = (uint8_t) ((sum & 1 ? 0x80 : 0) + (sum >> 1) + name[i]);
        return sum;
}

/* Units of UTF-16 that are not ASCII become UTF-8, one by one: such names are only compared. */
static void take_long(const LongName *l, DirEntry *ret) {
        char *p = ret->name;

        for (size_t i = 0; l->units[i] != 0 && l->units[i] != 0xffff && i < VOLUME_NAME_MAX; i++) {
                uint16_t u = l->units[i];

                if (u < 0x80) {
                        *p++ = (char) u;
                } else if (u < 0x800) {
                        *p++ = (char) (0xc0 | u >> 6);
                        *p++ = (char) (0x80 | (u & 0x3f));
                } else {
                        *p++ = (char) (0xe0 | u >> 12);
                        *p++ = (char) (0x80 | (u >> 6 & 0x3f));
                        *p++ = (char) (0x80 | (u & 0x3f));
                }
        }
        *p = 0;
}

static void take_short(const uint8_t *e, DirEntry *ret) {
        char *p = ret->short_name;

        for (unsigned i = 0; i < 11; i++) {
                /* Windows NT: bits 3 and 4 at 12 say that name or extension are in lower case. */
                bool lower = e[12] & (i < 8 ? 0x08 : 0x10);

                if (i == 8 && e[8] != ' ')
                        *p++ = '.';
                if (e[i] == ' ')
                        continue;
                *p++ = (char) (lower && e[i] >= 'A' && e[i] <= 'Z' ? e[i] + 32 : e[i]);
        }
        *p = 0;
}

typedef int (*entry_t)(const DirEntry *e, void *userdata);

static int each_entry(
                const Volume *v, const DirEntry *directory, entry_t each, void *userdata, char **reterr) {
        const Fat *f = v->state;
        bool fixed = !directory && f->bits != 32;
        uint32_t first = directory ? directory->first : f->root_cluster;
        LongName name = {};

        for (unsigned i = 0; !fixed || i < f->root_size / ENTRY_SIZE; i++) {
                uint64_t at = (uint64_t) i * ENTRY_SIZE;
                uint8_t e[ENTRY_SIZE];
                DirEntry entry = {};
                int r;

                if (i > VOLUME_NAMES_MAX * 4)
                        return error_set(reterr, -E2BIG, "a directory has too many entries");
                r = fixed ? block_read(&v->block, f->root + at, e, sizeof(e), reterr)
                          : read_chain(v, first, at, e, sizeof(e), reterr);
                if (r == -ENODATA && !fixed)
                        return 0;
                if (r < 0 || e[0] == 0)
                        return r < 0 ? r : 0;
                if (e[0] == 0xe5) {
                        name.valid = false;
                        continue;
                }
                if ((e[11] & 0x3f) == ATTRIBUTE_LONG) {
                        long_part(e, &name);
                        continue;
                }
                take_short(e, &entry);
                if (name.valid && name.expected == 0 && checksum(e) == name.checksum)
                        take_long(&name, &entry);
                else
                        memcpy(entry.name, entry.short_name, sizeof(entry.short_name));
                name.valid = false;
                if (e[11] & ATTRIBUTE_VOLUME || entry.name[0] == '.')
                        continue;
                entry.directory = e[11] & ATTRIBUTE_DIRECTORY;
                entry.first = (uint32_t) le16_read(e + 26) |
                                (f->bits == 32 ? (uint32_t) le16_read(e + 20) << 16 : 0);
                entry.size = le32_read(e + 28);
                r = each(&entry, userdata);
                if (r != 0)
                        return r;
        }
        return 0;
}

typedef struct Lookup {
        const char *name;
        size_t n;
        DirEntry found;
} Lookup;

static int compare(const DirEntry *e, void *userdata) {
        Lookup *l = userdata;
        bool same = (strlen(e->name) == l->n && strncasecmp(e->name, l->name, l->n) == 0) ||
                        (strlen(e->short_name) == l->n && strncasecmp(e->short_name, l->name, l->n) == 0);

        if (same)
                l->found = *e;
        return same;
}

/* 1 with the entry, 0 for the root. */
static int lookup(const Volume *v, const char *path, DirEntry *ret, char **reterr) {
        DirEntry at = { .directory = true };
        bool root = true;

        for (const char *p = path + strspn(path, "/"); *p; p += strspn(p, "/")) {
                Lookup l = { .name = p, .n = strcspn(p, "/") };
                int r;

                if (!at.directory)
                        return -ENOTDIR;
                r = each_entry(v, root ? NULL : &at, compare, &l, reterr);
                if (r <= 0)
                        return r < 0 ? r : -ENOENT;
                at = l.found;
                root = false;
                p += l.n;
        }
        *ret = at;
        return !root;
}

typedef struct Listing {
        volume_name_t each;
        void *userdata;
} Listing;

static int list_one(const DirEntry *e, void *userdata) {
        const Listing *l = userdata;

        return l->each(e->name, l->userdata);
}

static int fat_list(Volume *v, const char *path, volume_name_t each, void *userdata, char **reterr) {
        Listing l = { each, userdata };
        DirEntry e;
        int r = lookup(v, path, &e, reterr);

        if (r < 0)
                return r;
        if (!e.directory)
                return -ENOTDIR;
        return each_entry(v, r == 0 ? NULL : &e, list_one, &l, reterr);
}

static int fat_find(Volume *v, const char *path, VolumeFile *ret, char **reterr) {
        DirEntry e;
        int r = lookup(v, path, &e, reterr);

        if (r < 0)
                return r;
        if (e.directory)
                return -EISDIR;
        *ret = (VolumeFile) { .id = e.first, .size = e.size };
        return 0;
}

static int fat_read(Volume *v, const VolumeFile *file, uint64_t offset, void *buf, size_t n, char **reterr) {
        int r = n == 0 ? 0 : read_chain(v, (uint32_t) file->id, offset, buf, n, reterr);

        return r == -ENODATA ? damaged("a file is shorter than its directory says", reterr) : r;
}

static int fat_open(Volume *v, char **reterr) {
        Fat *f = calloc(1, sizeof(Fat));
        int r = f ? read_boot(&v->block, f) : -ENOMEM;

        if (r < 0) {
                free(f);
                return error_set(reterr, r, "its boot sector is damaged");
        }
        v->state = f;
        return 0;
}

static void fat_done(Volume *v) {
        free(v->state);
}

const VolumeKind fat_volume = { "vfat", fat_open, fat_list, fat_find, fat_read, fat_done };
