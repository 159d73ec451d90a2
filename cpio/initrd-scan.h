/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is in an initrd, read as the kernel reads it: initrd := (NUL | cpio | compressed cpio)*, where an uncompressed cpio
 * begins on a multiple of 4 bytes, and a compressed one holds (NUL | cpio)*. Where the kernel would stop and
 * silently ignore the rest, this says so and fails: what is behind that place would never arrive in the guest.
 *
 * Two differences. Gzip and bzip2 streams that follow each other without a zero byte between them are one part here
 * (libarchive joins them), several to the kernel; it matters only if the content of one is no multiple of 4 long. LZO
 * is not supported. */

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
        bool complete;       /* every member was looked at; else `content` and `members` are what was seen */
        bool initrd_release; /* etc/initrd-release: PID 1 will know that it runs in an initrd */
        bool has_sh;         /* a shell as bin/sh, sbin/sh or the same under usr/ */
        bool has_init;       /* init, which the kernel starts */
        unsigned systemd_version; /* of the oldest libsystemd-shared-NNN*.so found; 0: none */
} InitrdInfo;

void initrd_info_done(InitrdInfo *info);

typedef enum InitrdScanFlags {
        /* Once initrd_release, systemd_version and has_sh have all been found, do not look at the rest of a compressed part,
         * and do not even decompress it if its container says where it ends: nothing that follows takes one of them
         * away again. The parts behind it are still walked, so that an archive appended to the initrd is known to be
         * reached: scan the whole of it, the credentials included. */
        INITRD_SCAN_QUICK = 1 << 0,
} InitrdScanFlags;

/* Reads [offset, offset + length) of the file by pread(). 0; -EBADMSG for what the kernel would not read, -EOPNOTSUPP for
 * a compressor that libarchive does not have, -E2BIG over a limit, -ESTALE for a file that changed, -ENOPKG without
 * libarchive (needed only for compressed parts): always with a sentence. */
_warn_unused_result_ int initrd_scan(
                int fd, uint64_t offset, uint64_t length, unsigned flags, InitrdInfo *ret, char **reterr);

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
