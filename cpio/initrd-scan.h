/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is in an initrd, read as the kernel reads it: initrd := (NUL | cpio | compressed cpio)*, where an uncompressed cpio
 * begins on a multiple of 4 bytes, and a compressed one holds (NUL | cpio)*. Where the kernel would stop and
 * silently ignore the rest, this says so and fails: the rest would never arrive in the guest.
 *
 * A credential that the kernel cannot write because something else has its name is an error, too. Stricter than some kernels: a
 * checksum of a 070702 member is compared although the file cannot be created, xz filters for other processors are refused, and so
 * is an empty directory in the place of a credential. Not seen: bzip2 blocks that are filled to the last byte (lbzip2 writes such),
 * which the kernel may reject with a message; what a kernel was built without. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "initrd-compression.h"
#include "macro.h"

/* Limits against hostile archives; beyond them the scan fails with -E2BIG. The kernel has none, but it is not asked to
 * answer quickly. */
#define INITRD_PARTS_MAX   1024u /* real ones have 1 to 4, an image with many add-ons dozens */
#define INITRD_MEMBERS_MAX ((uint64_t) 1024 * 1024) /* ten times a whole desktop system */
#define INITRD_CONTENT_MAX (8ull << 30) /* decompressed, in memory of the guest: seconds at 1 GB/s */

typedef struct InitrdPart {
        uint64_t offset, length; /* from the start of the scanned range */
        InitrdCompression compression;
        uint64_t content; /* bytes after decompression */
        uint64_t members; /* trailers not counted */
} InitrdPart;

typedef struct InitrdInfo {
        InitrdPart *parts; /* owned */
        size_t n_parts;
        bool initrd_release;      /* etc/initrd-release: PID 1 will know that it runs in an initrd */
        bool has_sh;              /* a shell as bin/sh, sbin/sh or the same under usr/ */
        bool has_init;            /* init, which the kernel starts */
        bool has_obstacle;        /* something that a credential of some name could not replace */
        unsigned systemd_version; /* of the oldest libsystemd-shared-NNN*.so found; 0: none */
} InitrdInfo;

void initrd_info_done(InitrdInfo *info);

/* Reads [offset, offset + length) of the file by pread(). 0; -EBADMSG for what the kernel would not read, -EOPNOTSUPP for
 * a compressor that libarchive does not have, -E2BIG over a limit, -ESTALE for a file that changed, -ENOPKG without
 * a library (needed only for compressed parts): always with an error message. */
_warn_unused_result_ int initrd_scan(
                int fd, uint64_t offset, uint64_t length, InitrdInfo *ret, char **reterr);

typedef struct InitrdMember {
        const char *path; /* borrowed: during the callback only */
        size_t part;      /* index of the part */
        uint32_t ino, mode, uid, gid, nlink, mtime, size;
} InitrdMember;

/* 0 goes on, a positive value ends the listing, a negative one fails it. */
typedef int (*initrd_member_t)(const InitrdMember *member, void *userdata);

/* Calls back for each member in the order of the file, also for those that come before damage. 0, 1 if the callback ended
 * it, or as initrd_scan(). */
_warn_unused_result_ int initrd_list(int fd, uint64_t offset, uint64_t length, initrd_member_t callback,
                void *userdata, char **reterr);
