/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The disk image: its format as the user says it, and the root partition of a raw image with a GPT (Discoverable Partitions Specification of the
 * UAPI group) for direct kernel boot without root=. For a confidential guest nothing is guessed: the root is named by its verity hash,
 * or else the disk is not covered by the digest and the user has to say that this is meant. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "resolve-gpt.h"
#include "resolve-parts.h"
#include "resolve-verity.h"
#include "strutil.h"

/* Type GUIDs of x86-64 root and usr partitions: UAPI group, Discoverable Partitions Specification. */
static const Guid type_root =
                GUID_INIT(0x4f68bce3, 0xe8cd, 0x4db1, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09);
static const Guid type_usr =
                GUID_INIT(0x8484680c, 0x9521, 0x48c6, 0x9c, 0x11, 0xb0, 0x72, 0x06, 0x56, 0xf6, 0x9e);

static int find_root(const char *path, int fd, char ***cmdline, char **reterr) {
        const Guid *const types[] = { &type_root, &type_usr };
        Gpt gpt;
        int r;

        r = gpt_read(fd, &gpt);
        if (r == -EBADMSG)
                return error_set(reterr, r,
                                "--image: the partition table (GPT) of '%s' is damaged, so its root partition cannot be determined: add root=... to the kernel command line",
                                path);
        if (r < 0)
                return error_set(reterr, -EBADMSG,
                                "--image: '%s' has no partition table (GPT), so its root partition cannot be determined: add root=... to the kernel command line",
                                path);

        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                char text[GUID_TEXT_SIZE];
                GptPartition p;

                r = gpt_find(fd, &gpt, types[i], &p);
                if (r == 0)
                        continue;
                if (r == -ENOTUNIQ)
                        return error_set(reterr, r,
                                        "--image: '%s' has several root partitions: add root=PARTUUID=... to the kernel command line",
                                        path);
                if (r < 0)
                        return error_set(
                                        reterr, r, "--image: cannot read the partition table of '%s'", path);
                guid_format(&p.id, text);
                return strv_pushf(cmdline, i == 0 ? "root=PARTUUID=%s" : "mount.usr=PARTUUID=%s", text);
        }
        return error_set(reterr, -ENOENT,
                        "--image: '%s' has no partition of the x86-64 root or usr type: add root=... to the kernel command line",
                        path);
}

int resolve_root_word(const char *image, char ***words, char **reterr) {
        _cleanup_close_ int fd = resolve_open_disk("image", image, /* read_only= */ true, reterr);

        return fd < 0 ? fd : find_root(image, fd, words, reterr);
}

static const char *why_not_covered(const VmConfig *config, bool raw, bool kernel, CmdlineRoot named) {
        if (!kernel)
                return "its root hash is not on a measured command line";
        if (named == CMDLINE_ROOT_UNTRUSTED)
                return "the kernel command line names a root without verity";
        if (config->exact_words)
                return "--exact-words is set and the kernel command line names no root hash";
        return raw ? "it has no verity partitions" : "only raw images are searched for verity partitions";
}

/* A disk of a confidential guest: covered by the digest through a root hash in the measured words, or consented to. */
static int cover_disk(const VmConfig *config, const ResolveOptions *options, int fd, LaunchInputs *in,
                char ***cmdline, char **reterr) {
        CmdlineRoot named = cmdline ? cmdline_root(*cmdline) : CMDLINE_ROOT_NONE;
        bool raw = in->image_format == IMAGE_FORMAT_RAW;

        if (named == CMDLINE_ROOT_VERITY)
                return 0;
        if (named == CMDLINE_ROOT_NONE && cmdline && raw && !config->exact_words) {
                int r = resolve_verity(config->image, fd, cmdline, reterr);

                if (r != 0)
                        return r < 0 ? r : 0;
        }

        if (!(config->allow_untrusted & ALLOW_DISK))
                return resolve_refuse(options, in, reterr,
                                "--image: the launch digest does not cover '%s', since %s; to allow that, add --allow-untrusted=disk%s",
                                config->image, why_not_covered(config, raw, cmdline, named),
                                cmdline && named == CMDLINE_ROOT_NONE
                                                ? " and root=... to the kernel command line"
                                                : "");
        if (cmdline && named == CMDLINE_ROOT_NONE)
                return resolve_refuse(options, in, reterr,
                                "--image: the root partition of '%s' is not guessed under --coco=: add root=... to the kernel command line",
                                config->image);
        return strv_pushf(&in->notices, "the launch digest does not cover the disk '%s'", config->image);
}

/* QEMU's drivers for the formats of others are good for reading: what the guest writes goes elsewhere. */
static int check_writable(
                const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char **reterr) {
        if (config->image_format <= IMAGE_FORMAT_QCOW2 || config->ephemeral ||
                        disk_type_facts(config->image_disk_type)->read_only)
                return 0;
        return resolve_refuse(options, in, reterr,
                        "--image: guests cannot write to %s images: add --ephemeral to discard what the guest writes, or make a qcow2 image with 'qemu-img convert -O qcow2'; the launch digest is the same",
                        image_format_to_string(config->image_format));
}

int resolve_image(const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char ***cmdline,
                char **reterr) {
        _cleanup_close_ int fd = resolve_open_disk("image", config->image, /* read_only= */ true, reterr);
        char first[4];
        int r;

        if (fd < 0)
                return fd;
        r = fd_pread_exact(fd, first, sizeof(first), 0);
        if (r < 0)
                return error_set(reterr, -EBADMSG, "--image: '%s' is too short for a disk", config->image);
        r = check_writable(config, options, in, reterr);
        if (r >= 0)
                r = resolve_disk_format(
                                &(ResolveDisk) { config, "image", config->image, fd, config->image_format },
                                in, &in->image_format, reterr);
        if (r < 0)
                return r;

        if (vm_config_confidential(config))
                return cover_disk(config, options, fd, in, cmdline, reterr);
        if (!cmdline || config->exact_words || cmdline_root(*cmdline) != CMDLINE_ROOT_NONE)
                return 0;
        if (in->image_format != IMAGE_FORMAT_RAW)
                return error_set(reterr, -EOPNOTSUPP,
                                "--image: the root partition of a %s image ('%s') cannot be determined: add root=... to the kernel command line",
                                image_format_to_string(in->image_format), config->image);
        return find_root(config->image, fd, cmdline, reterr);
}
