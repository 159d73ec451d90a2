/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "ext4.h"
#include "grub-volume.h"
#include "strutil.h"

void image_done(Image *image) {
        boot_entries_done(&image->entries);
        FOREACH_ARRAY(v, image->volumes, image->n_volumes)
                volume_done(v);
        free(image->volumes);
        free(image->probes);
        strv_free(image->notes);
        if (image->failure)
                free(image->failure->reason);
        free(image->failure);
        free(image->helper);
        partition_table_done(&image->table);
        qcow2_free(image->qcow2);
        *image = (Image) {};
}

static int note(Image *image, const Partition *p, const char *what) {
        return p ? strv_pushf(&image->notes, "partition %u: %s", p->number, what)
                 : strv_pushf(&image->notes, "the disk: %s", what);
}

/* The same of what should have been read. */
static int note_unread(Image *image, const Partition *p, const char *what) {
        image->unread = true;
        return note(image, p, what);
}

/* A damaged image may hide the very entry that would be chosen. */
static int check_failure(const Image *image, char **reterr) {
        const BlockFailure *f = image->failure;

        return f->error < 0 ? error_set(reterr, f->error, "%s", f->reason ?: strerror(-f->error)) : 0;
}

static int note_probe(Image *image, const Partition *p, const VolumeProbe *probe) {
        _cleanup_free_ char *text = NULL;
        Text t = {};
        int r;

        if (!probe->what)
                return p ? 0 : note(image, p, "neither a partition table nor a known file system");
        if (probe->remedy)
                text_putf(&t, "%s is not supported: %s", probe->what, probe->remedy);
        else
                text_putf(&t, "%s is not read", probe->what);
        r = text_finish(&t, &text);
        return r < 0 ? r : note_unread(image, p, text);
}

/* An unreadable file system does not hide the others. */
static int open_volume(Image *image, const Block *b, const Partition *p, VolumeProbe *probe) {
        char *error = NULL;
        int r;

        *probe = volume_probe(b);
        if (p && partition_is_passed_over(p))
                return 0;
        if (!probe->kind || (grub_volume_needs_helper(probe->kind) && !image->helper))
                return note_probe(image, p, probe);
        r = volume_open(probe->kind, b, p, image->helper, &image->volumes[image->n_volumes], &error);
        if (r == -ENOMEM || r == -ENOPKG) {
                char **reterr = &error;

                r = note(image, p, *reterr ?: "out of memory") ?: r;
                free(error);
                return r;
        }
        if (r < 0) {
                r = note_unread(image, p, error);
                free(error);
                return r;
        }
        image->n_volumes++;
        if (ext4_needs_recovery(&image->volumes[image->n_volumes - 1]))
                return note(image, p,
                                "its journal was not replayed, so the newest changes may be missing: shut the guest down, or run e2fsck on the image");
        return 0;
}

static int open_volumes(Image *image, char **reterr) {
        size_t n = MAX(image->table.n_items, (size_t) 1);

        if (n > IMAGE_VOLUMES_MAX)
                return error_set(reterr, -E2BIG, "the disk has %zu partitions; at most %u are looked at", n,
                                IMAGE_VOLUMES_MAX);
        image->volumes = calloc(n, sizeof(Volume));
        image->probes = calloc(n, sizeof(VolumeProbe));
        if (!image->volumes || !image->probes)
                return -ENOMEM;
        if (image->table.kind == PARTITION_TABLE_NONE)
                return open_volume(image, &image->disk, NULL, &image->probes[0]);
        for (size_t i = 0; i < image->table.n_items; i++) {
                const Partition *p = image->table.items + i;
                char *error = NULL;
                Block b;
                int r = block_part(&image->disk, p->offset, p->size, &b, &error);

                r = r < 0 ? note_unread(image, p, error) : open_volume(image, &b, p, &image->probes[i]);
                free(error);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* It chooses between subvolumes, and would have no effect. */
static int check_subvolume(const Image *image, char **reterr) {
        if (!image->helper || !image->helper->subvolume)
                return 0;
        FOREACH_ARRAY(p, image->probes, MAX(image->table.n_items, (size_t) 1))
                if (p->kind == &grub_btrfs_volume)
                        return 0;
        return error_set(reterr, -EINVAL, "--subvolume: the image has no btrfs file system");
}

/* As QEMU's block/ drivers probe for them. */
static const char *other_format(const Block *disk) {
        static const struct {
                const char *format, *bytes;
                uint64_t offset;
                size_t size;
        } signatures[] = { { "qcow2", "QFI\xfb", 0, 4 }, { "vmdk", "KDMV", 0, 4 }, { "vmdk", "COWD", 0, 4 },
                { "vmdk", "# Disk DescriptorFile", 0, 21 }, { "vhdx", "vhdxfile", 0, 8 },
                { "vpc", "conectix", 0, 8 }, { "vdi", "\x7f\x10\xda\xbe", 0x40, 4 } };

        FOREACH_ARRAY(s, signatures, ELEMENTSOF(signatures)) {
                char bytes[24];

                if (block_read(disk, s->offset, bytes, s->size, NULL) >= 0 &&
                                memcmp(bytes, s->bytes, s->size) == 0)
                        return s->format;
        }
        return NULL;
}

static int prepare(const VolumeHelper *helper, Image *image) {
        image->failure = calloc(1, sizeof(BlockFailure));
        if (!image->failure)
                return -ENOMEM;
        if (!helper)
                return 0;
        image->helper = malloc(sizeof(VolumeHelper));
        if (!image->helper)
                return -ENOMEM;
        *image->helper = *helper;
        return 0;
}

int image_open(int fd, ImageKind kind, const VolumeHelper *helper, Image *ret, char **reterr) {
        _cleanup_(image_done) Image image = {};
        const char *other;
        int r = prepare(helper, &image);

        if (r < 0)
                return r;
        r = kind == IMAGE_QCOW2 ? qcow2_open(fd, &image.qcow2, &image.disk, reterr)
                                : block_from_fd(fd, &image.disk, reterr);
        if (r < 0)
                return r;
        image.disk.failure = image.failure;
        other = kind == IMAGE_RAW ? other_format(&image.disk) : NULL;
        if (other)
                return error_set(reterr, -EPERM,
                                "it begins with the signature of a %s image, which a guest can write to a raw disk: name the format if it was made as one (extract: --format=%s; elsewhere --image-format=%s)",
                                other, other, other);
        r = partition_table_read(&image.disk, &image.table, reterr);
        if (r >= 0 && image.table.kind != PARTITION_TABLE_GPT && volume_probe(&image.disk).kind) {
                /* A bare file system, whose boot sector may look like a table. */
                partition_table_done(&image.table);
        }
        if (r >= 0 && image.helper)
                image.helper->mbr = image.table.kind == PARTITION_TABLE_MBR;
        if (r >= 0)
                r = open_volumes(&image, reterr);
        if (r >= 0)
                r = check_failure(&image, reterr);
        if (r >= 0)
                r = check_subvolume(&image, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(image, (Image) {});
        return 0;
}

static int compare_entries(const void *a, const void *b) {
        const BootEntry *x = a, *y = b;
        int r = boot_entry_compare(x, y);

        return r != 0 ? r : (x->volume > y->volume) - (x->volume < y->volume);
}

/* qsort() is not stable, and GRUB's order counts. */
static void sort_entries(BootEntries *l) {
        for (size_t i = 1; i < l->n_items; i++)
                for (size_t k = i; k > 0 && compare_entries(l->items + k - 1, l->items + k) > 0; k--) {
                        BootEntry e = l->items[k];

                        l->items[k] = l->items[k - 1];
                        l->items[k - 1] = e;
                }
}

int image_find_entries(Image *image, char **reterr) {
        static int (*const finders[])(Volume * v, BootEntries * l, char **reterr) = {
                boot_find_uki,
                boot_find_bls,
                boot_find_grub,
                boot_find_files,
        };

        for (size_t i = 0; i < image->n_volumes; i++) {
                size_t first = image->entries.n_items;

                for (size_t k = 0; k < ELEMENTSOF(finders); k++) {
                        char *error = NULL;
                        int r = finders[k](&image->volumes[i], &image->entries, &error);

                        if (r == -ENOMEM || r == -E2BIG) {
                                (void) error_set(reterr, r, "partition %u: %s",
                                                image->volumes[i].partition.number, error ?: strerror(-r));
                                free(error);
                                return r;
                        }
                        if (r < 0)
                                r = note_unread(image, &image->volumes[i].partition, error ?: strerror(-r));
                        free(error);
                        if (r < 0)
                                return r;
                }
                for (size_t k = first; k < image->entries.n_items; k++)
                        image->entries.items[k].volume = i;
        }
        sort_entries(&image->entries);
        return check_failure(image, reterr);
}
