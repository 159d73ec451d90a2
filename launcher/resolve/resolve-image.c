/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The disk image: its format by content, and the root partition of a raw image with a GPT (Discoverable Partitions Specification of the
 * UAPI group) for direct kernel boot without root=. For a confidential guest nothing is guessed: the root is named by its verity hash,
 * or else the disk is not covered by the digest and the user has to say that this is meant. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "resolve-gpt.h"
#include "resolve-parts.h"
#include "resolve-verity.h"
#include "strutil.h"

#define QCOW2_MAGIC "QFI\xfb"

/* Type GUIDs of x86-64 root and usr partitions: UAPI group, Discoverable Partitions Specification. */
static const Guid type_root =
                GUID_INIT(0x4f68bce3, 0xe8cd, 0x4db1, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09);
static const Guid type_usr =
                GUID_INIT(0x8484680c, 0x9521, 0x48c6, 0x9c, 0x11, 0xb0, 0x72, 0x06, 0x56, 0xf6, 0x9e);

static int find_root(const char *path, int fd, char ***words, char **reterr) {
        const Guid *const types[] = { &type_root, &type_usr };
        Gpt gpt;
        int r;

        r = gpt_read(fd, &gpt);
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
                GptPartition p;

                r = gpt_find(fd, &gpt, types[i], &p);
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
                guid_format(&p.id, text);
                return strv_pushf(words, i == 0 ? "root=PARTUUID=%s" : "mount.usr=PARTUUID=%s", text);
        }
        return error_set(reterr, -ENOENT,
                        "--image: '%s' has no partition of the x86-64 root or usr type: add root=... to the "
                        "kernel words",
                        path);
}

/* What no launch does is still measured, and named. */
_printf_(4, 5) static int refuse(
                const ResolveOptions *options, LaunchInputs *in, char **reterr, const char *format, ...) {
        char *sentence;
        va_list ap;
        int k, r;

        va_start(ap, format);
        k = vasprintf(&sentence, format, ap);
        va_end(ap);
        if (k < 0)
                return -ENOMEM;
        if (!options->for_launch)
                return strv_consume(&in->notices, sentence);
        r = error_set(reterr, -EPERM, "%s", sentence);
        free(sentence);
        return r;
}

static const char *why_not_covered(const VmConfig *config, bool raw, bool kernel, RootWords named) {
        if (!kernel)
                return "no measured words name its root hash";
        if (named == ROOT_WORDS_UNTRUSTED)
                return "the kernel words name a root without verity";
        if (config->exact_words)
                return "the exact words name no root hash";
        return raw ? "it has no verity partitions" : "only raw images are searched for verity partitions";
}

/* A disk of a confidential guest: covered by the digest through a root hash in the measured words, or consented to. */
static int cover_disk(const VmConfig *config, const ResolveOptions *options, int fd, LaunchInputs *in,
                char ***words, char **reterr) {
        RootWords named = words ? kernel_words_root(*words) : ROOT_WORDS_NONE;
        bool raw = in->image_format == IMAGE_FORMAT_RAW;

        if (named == ROOT_WORDS_VERITY)
                return 0;
        if (named == ROOT_WORDS_NONE && words && raw && !config->exact_words) {
                int r = resolve_verity(config->image, fd, words, reterr);

                if (r != 0)
                        return r < 0 ? r : 0;
        }

        if (!(config->allow_untrusted & ALLOW_DISK))
                return refuse(options, in, reterr,
                                "--image: '%s' is not covered by the digest, since %s: if that is meant, "
                                "add --allow-untrusted=disk%s",
                                config->image, why_not_covered(config, raw, words, named),
                                words && named == ROOT_WORDS_NONE ? " and root=... to the kernel words"
                                                                  : "");
        if (words && named == ROOT_WORDS_NONE)
                return refuse(options, in, reterr,
                                "--image: the root of '%s' is not guessed under --coco=: add root=... to "
                                "the kernel words",
                                config->image);
        return strv_pushf(&in->notices, "the disk '%s' is not covered by the digest", config->image);
}

int resolve_image(const VmConfig *config, const ResolveOptions *options, LaunchInputs *in, char ***words,
                char **reterr) {
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

        if (vm_config_confidential(config))
                return cover_disk(config, options, fd, in, words, reterr);
        if (!words || config->exact_words || kernel_words_root(*words) != ROOT_WORDS_NONE)
                return 0;
        if (in->image_format != IMAGE_FORMAT_RAW)
                return error_set(reterr, -EOPNOTSUPP,
                                "--image: the root of a qcow2 image ('%s') cannot be told: add root=... to "
                                "the kernel words",
                                config->image);
        return find_root(config->image, fd, words, reterr);
}
