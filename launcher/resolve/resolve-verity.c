/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Theory of operation: an image made for verity has a data partition and a hash partition of the types below. Their own GUIDs are the two
 * halves of the root hash, so that the hash alone finds the pair: UAPI group, Discoverable Partitions Specification, "Suggested Mode of
 * Operation". systemd-veritysetup-generator in the initrd does that with roothash= and usrhash=, and so does this file
 * the other way round. Whether data and hash tree agree is for the guest to find out, block by block: a wrong image
 * does not start, whatever the host claims. */

#include "resolve-verity.h"

#include <errno.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "fd.h"
#include "resolve-gpt.h"
#include "strutil.h"

/* Types of x86-64 partitions: Discoverable Partitions Specification, "Defined Partition Type UUIDs". */
static const struct VerityPair {
        Guid data, hash;
        const char *name, *word;
} pairs[] = {
        { GUID_INIT(0x4f68bce3, 0xe8cd, 0x4db1, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09),
                        GUID_INIT(0x2c7357ed, 0xebd2, 0x46d9, 0xae, 0xc1, 0x23, 0xd4, 0x37, 0xec, 0x2b,
                                        0xf5),
                        "root", "roothash" },
        { GUID_INIT(0x8484680c, 0x9521, 0x48c6, 0x9c, 0x11, 0xb0, 0x72, 0x06, 0x56, 0xf6, 0x9e),
                        GUID_INIT(0x77ff5f63, 0xe7b6, 0x4633, 0xac, 0xf4, 0x15, 0x65, 0xb8, 0x64, 0xc0,
                                        0xe6),
                        "usr", "usrhash" },
};

/* The kernel's Documentation/admin-guide/device-mapper/verity.rst leaves the superblock to cryptsetup, whose wiki "DMVerity" has it:
 * signature[8], version, type, UUID[16], name of the hash[32]. */
#define SUPERBLOCK_SIZE      64u
#define SUPERBLOCK_ALGORITHM 32u

static int check_superblock(const char *path, int fd, const char *name, uint64_t offset, char **reterr) {
        uint8_t block[SUPERBLOCK_SIZE];
        int r = fd_pread_exact(fd, block, sizeof(block), offset);

        if (r < 0 || memcmp(block, "verity\0\0", 8) != 0 || le32_read(block + 8) != 1)
                return error_set(reterr, -EBADMSG,
                                "--image: the %s-verity partition of '%s' does not begin with a verity superblock: rebuild the image",
                                name, path);
        if (strncmp((const char *) block + SUPERBLOCK_ALGORITHM, "sha256",
                            SUPERBLOCK_SIZE - SUPERBLOCK_ALGORITHM) != 0)
                return error_set(reterr, -EOPNOTSUPP,
                                "--image: the %s-verity partition of '%s' is not hashed with sha256, and a root hash of another size does not fit into two partition GUIDs: add %shash=... to the kernel command line",
                                name, path, name);
        return 0;
}

/* The text form of a GUID without its dashes is what systemd means by half of a root hash. */
static void half_hash(const Guid *g, char ret[static 33]) {
        char text[GUID_TEXT_SIZE], *to = ret;

        guid_format(g, text);
        for (const char *p = text; *p; p++)
                if (*p != '-')
                        *to++ = *p;
        *to = 0;
}

/* 1 with a word appended, 0 if the image has no such pair. */
static int add_pair(const char *path, int fd, const Gpt *gpt, const struct VerityPair *pair, char ***cmdline,
                char **reterr) {
        GptPartition data, hash;
        char first[33], second[33];
        int has_hash = gpt_find(fd, gpt, &pair->hash, &hash), has_data, r;

        if (has_hash == 0)
                return 0;
        has_data = gpt_find(fd, gpt, &pair->data, &data);
        if (has_hash == -ENOTUNIQ || has_data == -ENOTUNIQ)
                return error_set(reterr, -ENOTUNIQ,
                                "--image: '%s' has several %s or %s-verity partitions: add %s=... to the kernel command line to select one",
                                path, pair->name, pair->name, pair->word);
        if (has_hash < 0 || has_data < 0)
                return error_set(reterr, has_hash < 0 ? has_hash : has_data,
                                "--image: cannot read the partition table of '%s'", path);
        if (has_data == 0)
                return error_set(reterr, -ENOENT,
                                "--image: '%s' has a %s-verity partition but no %s partition to go with it",
                                path, pair->name, pair->name);

        r = check_superblock(path, fd, pair->name, hash.offset, reterr);
        if (r < 0)
                return r;
        half_hash(&data.id, first);
        half_hash(&hash.id, second);
        r = strv_pushf(cmdline, "%s=%s%s", pair->word, first, second);
        return r < 0 ? r : 1;
}

int resolve_verity(const char *path, int fd, char ***cmdline, char **reterr) {
        int found = 0, r;
        Gpt gpt;

        if (gpt_read(fd, &gpt) < 0)
                return 0;
        FOREACH_ARRAY(pair, pairs, ELEMENTSOF(pairs)) {
                r = add_pair(path, fd, &gpt, pair, cmdline, reterr);
                if (r < 0)
                        return r;
                found += r;
        }
        return found;
}
