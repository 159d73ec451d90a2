/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "volume.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "ext4.h"
#include "fat.h"
#include "fd.h"
#include "grub-volume.h"
#include "strutil.h"

#define SIGNATURE_MAX 16u

/* Without a helper that starts it. */
#define BY_GRUB                                                                                             \
        "install the package grub-common, whose grub-fstest is used to read it; or copy its files out of a raw image with 'grub-fstest IMAGE cp (loop0,gptN)/boot/FILE FILE' (without partitions (loop0)), and pass --linux=, --initrd= and the command line"

static const struct Signature {
        uint64_t offset;
        const char *bytes;
        size_t size;
        const VolumeKind *kind;
        const char *what, *remedy;
} signatures[] = {
        { 1024 + 56, "\x53\xef", 2, &ext4_volume, "ext4", NULL },
        { 0, "LUKS\xba\xbe", 6, NULL, "an encrypted volume (LUKS)",
                        "its kernel cannot be read without the key: open it where the key is, and pass --linux=, --initrd= and the command line" },
        { 512 + 24, "LVM2 001", 8, NULL, "a physical volume of LVM",
                        "export the logical volume with the kernel as a separate image ('qemu-img convert' of /dev/VG/LV), or use 'virt-get-kernel -a IMAGE'" },
        { 24, "LVM2 001", 8, NULL, "a physical volume of LVM",
                        "export the logical volume with the kernel as a separate image ('qemu-img convert' of /dev/VG/LV), or use 'virt-get-kernel -a IMAGE'" },
        { 4096, "\xfc\x4e\x2b\xa9", 4, NULL, "a member of a RAID (md)",
                        "assemble it and pass the array as a raw image" },
        { 0x10040, "_BHRfS_M", 8, &grub_btrfs_volume, "btrfs", BY_GRUB },
        { 0, "XFSB", 4, &grub_xfs_volume, "xfs", BY_GRUB },
        { 0, "hsqs", 4, NULL, "squashfs", NULL },
        { 1024, "\xe2\xe1\xf5\xe0", 4, NULL, "erofs", NULL },
        { 1024, "\x10\x20\xf5\xf2", 4, NULL, "f2fs", NULL },
        { 0x8001, "CD001", 5, NULL, "ISO 9660", NULL },
        { 3, "NTFS    ", 8, NULL, "ntfs", NULL },
        { 3, "-FVE-FS-", 8, NULL, "an encrypted volume (BitLocker)", NULL },
        { 4096 - 10, "SWAPSPACE2", 10, NULL, "swap", NULL },
};

VolumeProbe volume_probe(const Block *b) {
        FOREACH_ARRAY(s, signatures, ELEMENTSOF(signatures)) {
                char bytes[SIGNATURE_MAX];

                if (block_read(b, s->offset, bytes, s->size, NULL) >= 0 &&
                                memcmp(bytes, s->bytes, s->size) == 0)
                        return (VolumeProbe) { s->kind, s->what, s->remedy };
        }
        if (fat_probe(b))
                return (VolumeProbe) { &fat_volume, "vfat", NULL };
        return (VolumeProbe) {};
}

int volume_open(const VolumeKind *kind, const Block *b, const Partition *partition, VolumeHelper *helper,
                Volume *ret, char **reterr) {
        Volume v = { .kind = kind, .block = *b, .helper = helper };
        int r;

        if (partition)
                v.partition = *partition;
        r = kind->open(&v, reterr);
        if (r < 0)
                return error_prefix(reterr, error_set(reterr, r, "%s", strerror(-r)), "%s", kind->name);
        *ret = v;
        return 0;
}

void volume_done(Volume *v) {
        if (v->kind)
                v->kind->done(v);
        *v = (Volume) {};
}

int volume_list(Volume *v, const char *path, volume_name_t each, void *userdata, char **reterr) {
        return v->kind->list(v, path, each, userdata, reterr);
}

int volume_find(Volume *v, const char *path, VolumeFile *ret, char **reterr) {
        return v->kind->find(v, path, ret, reterr);
}

int volume_read(Volume *v, const VolumeFile *f, uint64_t offset, void *buf, size_t n, char **reterr) {
        if (offset > f->size || n > f->size - offset)
                return error_set(reterr, -ENODATA, "the file is shorter than its header says");
        return v->kind->read(v, f, offset, buf, n, reterr);
}

int volume_text(Volume *v, const char *path, size_t max, char **ret, size_t *ret_size, char **reterr) {
        _cleanup_free_ char *text = NULL;
        VolumeFile f;
        int r = volume_find(v, path, &f, reterr);

        if (r < 0)
                return r;
        if (f.size > max)
                return error_set(reterr, -E2BIG, "'%s' has %llu bytes; at most %zu are read", path,
                                (unsigned long long) f.size, max);
        text = malloc((size_t) f.size + 1);
        if (!text)
                return -ENOMEM;
        r = volume_read(v, &f, 0, text, (size_t) f.size, reterr);
        if (r < 0)
                return r;
        text[f.size] = 0;
        *ret = TAKE_PTR(text);
        if (ret_size)
                *ret_size = (size_t) f.size;
        return 0;
}

int volume_copy(Volume *v, const VolumeFile *f, uint64_t offset, uint64_t size, int to, char **reterr) {
        _cleanup_free_ uint8_t *buf = malloc(VOLUME_COPY_SIZE);

        if (!buf)
                return -ENOMEM;
        while (size > 0) {
                size_t n = (size_t) MIN(size, (uint64_t) VOLUME_COPY_SIZE);
                int r = volume_read(v, f, offset, buf, n, reterr);

                if (r < 0)
                        return r;
                r = fd_write_all(to, buf, n);
                if (r < 0)
                        return error_set(reterr, r, "cannot write: %s", strerror(-r));
                offset += n;
                size -= n;
        }
        return 0;
}
