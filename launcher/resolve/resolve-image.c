/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The disk image: its format by content, and the root partition of a raw image with a GPT (Discoverable Partitions Specification of the
 * UAPI group) for direct kernel boot without root=. Without confidential computing only: there nothing is guessed. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "resolve-parts.h"
#include "strutil.h"

#define SECTOR          512u
#define GPT_ENTRIES_MAX 1024u /* 128 is what tools write; enough for any sane disk */
#define GPT_ENTRY_MAX   4096u
#define QCOW2_MAGIC     "QFI\xfb"

/* Type GUIDs of x86-64 root and usr partitions: UAPI group, Discoverable Partitions Specification. */
static const Guid type_root =
                GUID_INIT(0x4f68bce3, 0xe8cd, 0x4db1, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09);
static const Guid type_usr =
                GUID_INIT(0x8484680c, 0x9521, 0x48c6, 0x9c, 0x11, 0xb0, 0x72, 0x06, 0x56, 0xf6, 0x9e);

typedef struct Gpt {
        uint64_t entries_offset;
        uint32_t n_entries, entry_size;
} Gpt;

/* UEFI specification, 5.3.2 "GPT Header". */
static int read_header(int fd, Gpt *ret) {
        uint8_t header[92];
        int r = fd_pread_exact(fd, header, sizeof(header), SECTOR);

        if (r < 0)
                return r;
        if (memcmp(header, "EFI PART", 8) != 0)
                return -ENODATA;

        uint64_t lba = le64_read(header + 72);
        uint32_t n = le32_read(header + 80), size = le32_read(header + 84);
        if (lba > UINT32_MAX || n > GPT_ENTRIES_MAX || size < 128 || size > GPT_ENTRY_MAX)
                return -EBADMSG;
        *ret = (Gpt) { .entries_offset = lba * SECTOR, .n_entries = n, .entry_size = size };
        return 0;
}

/* The partition's own GUID if exactly one partition has the type: 1, 0 for none, -ENOTUNIQ for several. */
static int find_partition(int fd, const Gpt *gpt, const Guid *type, Guid *ret) {
        int found = 0;

        for (uint32_t i = 0; i < gpt->n_entries; i++) {
                uint8_t entry[128];
                Guid g;
                int r = fd_pread_exact(fd, entry, sizeof(entry),
                                gpt->entries_offset + (uint64_t) i * gpt->entry_size);

                if (r < 0)
                        return r;
                memcpy(g.bytes, entry, sizeof(g.bytes));
                if (!guid_equal(&g, type))
                        continue;
                if (found++)
                        return -ENOTUNIQ;
                memcpy(ret->bytes, entry + 16, sizeof(ret->bytes));
        }
        return found;
}

static int find_root(const char *path, int fd, char **ret_word, char **reterr) {
        const Guid *const types[] = { &type_root, &type_usr };
        Gpt gpt;
        int r;

        r = read_header(fd, &gpt);
        if (r == -EBADMSG)
                return error_set(reterr, r,
                                "--image: the partition table (GPT) of '%s' is damaged, so its root cannot "
                                "be "
                                "told: add root=... to the kernel words",
                                path);
        if (r < 0)
                return error_set(reterr, -EBADMSG,
                                "--image: '%s' has no partition table (GPT), so its root cannot be told: "
                                "add root=... to the kernel words",
                                path);

        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                char text[GUID_TEXT_SIZE];
                Guid g;

                r = find_partition(fd, &gpt, types[i], &g);
                if (r == 0)
                        continue;
                if (r == -ENOTUNIQ)
                        return error_set(reterr, r,
                                        "--image: '%s' has several root partitions: add root=PARTUUID=... "
                                        "to the kernel words",
                                        path);
                if (r < 0)
                        return error_set(
                                        reterr, r, "--image: cannot read the partition table of '%s'", path);
                guid_format(&g, text);
                return asprintf(ret_word, i == 0 ? "root=PARTUUID=%s" : "mount.usr=PARTUUID=%s", text) < 0
                                ? -ENOMEM
                                : 0;
        }
        return error_set(reterr, -ENOENT,
                        "--image: '%s' has no partition of the x86-64 root or usr type: add root=... to the "
                        "kernel words",
                        path);
}

int resolve_image(const VmConfig *config, LaunchInputs *in, char **ret_root_word, char **reterr) {
        _cleanup_close_ int fd = resolve_open("image", config->image, NULL, reterr);
        char magic[4] = {};
        bool qcow2;
        int r;

        if (fd < 0)
                return fd;
        r = fd_pread_exact(fd, magic, sizeof(magic), 0);
        if (r < 0)
                return error_set(reterr, -EBADMSG, "--image: '%s' is too short for a disk", config->image);
        qcow2 = memcmp(magic, QCOW2_MAGIC, sizeof(magic)) == 0;
        if (config->image_format == IMAGE_FORMAT_QCOW2 && !qcow2)
                return error_set(reterr, -EBADMSG,
                                "--image: '%s' is no qcow2 image, --image-format= says it is",
                                config->image);
        in->image_format = config->image_format != IMAGE_FORMAT_AUTO ? config->image_format
                        : qcow2                                      ? IMAGE_FORMAT_QCOW2
                                                                     : IMAGE_FORMAT_RAW;

        if (!ret_root_word || !config->linux_path || vm_config_names_root(config) ||
                        vm_config_confidential(config))
                return 0;
        if (in->image_format != IMAGE_FORMAT_RAW)
                return error_set(reterr, -EOPNOTSUPP,
                                "--image: the root of a qcow2 image ('%s') cannot be told: add root=... to "
                                "the kernel words",
                                config->image);
        return find_root(config->image, fd, ret_root_word, reterr);
}
