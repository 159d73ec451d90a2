/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The disk that the firmware of a TD boots: its partition table, as edk2 measures it, and the unified kernel image in its EFI system partition. */

#include "measure-disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "bytes.h"
#include "error.h"
#include "fat.h"
#include "fd.h"
#include "partition.h"
#include "volume.h"

#define SECTOR      512u
#define GPT_HEADER  92u
#define GPT_ENTRY   128u
#define ENTRIES_MAX 1024u
#define LOADER      "/EFI/BOOT/BOOTX64.EFI"
#define LOADER_MAX  (UINT64_C(512) << 20)

void td_disk_done(TdDisk *d) {
        plan_input_done(&d->loader);
        d->fd = fd_close(d->fd);
        free(d->table);
        *d = TD_DISK_NONE;
}

/* UEFI_GPT_DATA: the header, u64 number of entries in use, and these. */
static int read_table(const Block *disk, TdDisk *ret, char **reterr) {
        uint8_t header[GPT_HEADER], entry[GPT_ENTRY];
        uint64_t begin, n_used = 0;
        uint32_t n, size;
        int r = block_read(disk, SECTOR, header, sizeof(header), reterr);

        if (r < 0)
                return r;
        begin = le64_read(header + 72);
        n = le32_read(header + 80);
        size = le32_read(header + 84);
        if (memcmp(header, "EFI PART", 8) != 0 || le32_read(header + 12) != GPT_HEADER ||
                        size != GPT_ENTRY || n > ENTRIES_MAX || begin > disk->size / SECTOR)
                return error_set(reterr, -EOPNOTSUPP,
                                "expected a GPT with sectors of %u bytes and entries of %u bytes", SECTOR,
                                GPT_ENTRY);
        ret->table = malloc(GPT_HEADER + 8 + (size_t) n * GPT_ENTRY);
        if (!ret->table)
                return -ENOMEM;
        memcpy(ret->table, header, GPT_HEADER);
        ret->size = GPT_HEADER + 8;
        for (uint32_t i = 0; i < n; i++) {
                r = block_read(disk, begin * SECTOR + (uint64_t) i * GPT_ENTRY, entry, sizeof(entry),
                                reterr);
                if (r < 0)
                        return r;
                if (bytes_are_zero(entry, 16))
                        continue;
                memcpy(ret->table + ret->size, entry, GPT_ENTRY);
                ret->size += GPT_ENTRY;
                n_used++;
        }
        le64_write(ret->table + GPT_HEADER, n_used);
        return 0;
}

static int find_esp(const PartitionTable *table, const Partition **ret, char **reterr) {
        *ret = NULL;
        FOREACH_ARRAY(p, table->items, table->n_items) {
                if (!partition_is_esp(p))
                        continue;
                if (*ret)
                        return error_set(reterr, -ENOTUNIQ,
                                        "two EFI system partitions: which one the firmware boots is not predicted");
                *ret = p;
        }
        return *ret ? 0 : error_set(reterr, -ENOENT, "no EFI system partition");
}

/* What systemd-stub reads beside the image, and measures or makes random. */
static int check_companions(Volume *v, char **reterr) {
        static const char *const paths[] = { LOADER ".extra.d", "/loader/addons", "/loader/credentials",
                "/loader/extensions", "/loader/random-seed" };

        FOREACH_ARRAY(path, paths, ELEMENTSOF(paths)) {
                VolumeFile f;
                int r = volume_find(v, *path, &f, reterr);

                if (r == -ENOENT || r == -ENOTDIR)
                        continue;
                return r < 0 && r != -EISDIR
                                ? r
                                : error_set(reterr, -EOPNOTSUPP,
                                                  "%s in the EFI system partition: what a stub makes of it is not predicted",
                                                  *path);
        }
        return 0;
}

static int read_loader(Volume *v, const char *path, TdDisk *ret, char **reterr) {
        VolumeFile f;
        int r = volume_find(v, LOADER, &f, reterr);

        if (r == -ENOENT || r == -ENOTDIR)
                return error_set(reterr, -ENOENT,
                                "no %s in the EFI system partition, which the firmware boots", LOADER);
        if (r < 0)
                return r;
        if (f.size > LOADER_MAX)
                return error_set(reterr, -EFBIG, "%s has more than %llu bytes", LOADER,
                                (unsigned long long) LOADER_MAX);
        r = check_companions(v, reterr);
        if (r < 0)
                return r;
        ret->fd = memfd_new("loader");
        if (ret->fd < 0)
                return ret->fd;
        r = volume_copy(v, &f, 0, f.size, ret->fd, reterr);
        return r < 0 ? r : plan_input_add(&ret->loader, path, ret->fd, 0, f.size);
}

static int read_partition(const Block *disk, const char *path, TdDisk *ret, char **reterr) {
        _cleanup_(partition_table_done) PartitionTable table = {};
        _cleanup_(volume_done) Volume v = {};
        const Partition *esp = NULL;
        Block part;
        int r = partition_table_read(disk, &table, reterr);

        if (r >= 0)
                r = find_esp(&table, &esp, reterr);
        if (r >= 0)
                r = block_part(disk, esp->offset, esp->size, &part, reterr);
        if (r >= 0 && !fat_probe(&part))
                r = error_set(reterr, -EBADMSG, "the EFI system partition is not FAT");
        if (r >= 0)
                r = volume_open(&fat_volume, &part, esp, NULL, &v, reterr);
        return r < 0 ? r : read_loader(&v, path, ret, reterr);
}

int td_disk_read(const char *path, TdDisk *ret, char **reterr) {
        _cleanup_(td_disk_done) TdDisk found = TD_DISK_NONE;
        _cleanup_close_ int fd = -EBADF;
        uint64_t size;
        Block disk;
        int r;

        fd = fd_open_regular(path, &size);
        if (fd < 0)
                return error_set(reterr, fd, "--disk: cannot open '%s': %s", path, strerror(-fd));
        r = block_from_fd(fd, &disk, reterr);
        if (r >= 0)
                r = read_table(&disk, &found, reterr);
        if (r >= 0)
                r = read_partition(&disk, path, &found, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "--disk: '%s'", path);
        *ret = TAKE_STRUCT(found, TD_DISK_NONE);
        return 0;
}
