/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The newc archive as the kernel's unpacker reads it (init/initramfs.c and Documentation/driver-api/early-userspace/
 * buffer-format.rst), fed piece by piece. libarchive's own cpio reader is not asked because it answers another
 * question: it searches for the next header where the kernel gives up, and stops at a trailer where the kernel goes on.
 *
 *   stream := (NUL | member)*       a member begins on a multiple of 4 bytes from the start of the stream
 *   member := header, name, data    name (with its NUL) and data are padded to multiples of 4
 *   header := "070701" or "070702", then 13 numbers of 8 hexadecimal digits
 *
 * In a "070702" header the last number is the sum of the data's bytes, which the kernel compares for files.
 *
 * A member named TRAILER!!! ends an archive, but not the stream. Members whose name is empty or longer than PATH_MAX,
 * symbolic links with a longer target, and data after anything that is neither file nor link are skipped silently
 * by the kernel and here. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "macro.h"

#define NEWC_HEADER_SIZE 110u
#define NEWC_ALIGNMENT   4u
#define NEWC_NAME_MAX    4096u /* PATH_MAX, with the NUL: the kernel skips members with longer names */
#define NEWC_TRAILER     "TRAILER!!!"

typedef struct NewcMember {
        const char *path; /* borrowed: during the callback only */
        uint64_t offset;  /* of the header, from the start of the stream */
        uint32_t ino, mode, uid, gid, nlink, mtime, size;
} NewcMember;

/* 0 goes on, a positive value stops with NEWC_STOPPED, a negative one is handed through. */
typedef int (*newc_member_t)(const NewcMember *member, void *userdata);

typedef enum NewcResult {
        NEWC_MORE,    /* everything was taken: feed more, or finish */
        NEWC_TRAILED, /* a trailer was read, its padding included: only with stop_at_trailer */
        NEWC_FOREIGN, /* the next byte begins no member: a compressed archive, or junk */
        NEWC_STOPPED, /* as the callback asked */
} NewcResult;

typedef enum NewcState {
        NEWC_STATE_BETWEEN,
        NEWC_STATE_HEADER,
        NEWC_STATE_NAME,
        NEWC_STATE_SUM, /* the data of a 070702 file, which has to add up */
        NEWC_STATE_SKIP,
} NewcState;

typedef struct NewcParser {
        newc_member_t callback; /* may be NULL; not called for trailers */
        void *userdata;
        bool stop_at_trailer;

        uint64_t position; /* bytes taken so far */
        uint64_t skip;     /* in NEWC_STATE_SKIP: bytes up to the next member */
        NewcState state;
        bool trailed;    /* the current member is a trailer */
        uint64_t start;  /* of the current member */
        NewcMember head; /* its numbers */
        bool summed;     /* 070702: the header names the sum of the data's bytes */
        uint32_t name_size, wanted_sum, sum;
        uint64_t unsummed; /* in NEWC_STATE_SUM: bytes still to be added */
        size_t have;       /* bytes collected in buf */
        uint8_t buf[NEWC_NAME_MAX + NEWC_ALIGNMENT];
} NewcParser;

/* Takes up to n bytes, *ret_used of them: a NewcResult, or -EBADMSG with an error message (offsets counted from the start of
 * the stream). Bodies may also be passed over by newc_parser_skip() instead of being fed. */
_warn_unused_result_ int newc_parser_feed(
                NewcParser *p, const uint8_t *data, size_t n, size_t *ret_used, char **reterr);
/* How many of the next bytes need not be fed. */
static inline uint64_t newc_parser_skippable(const NewcParser *p) {
        return p->state == NEWC_STATE_SKIP ? p->skip : 0;
}
/* Passes n <= newc_parser_skippable() bytes over: NEWC_MORE or NEWC_TRAILED. */
int newc_parser_skip(NewcParser *p, uint64_t n);
/* The stream has ended: 0, or -EBADMSG inside of a member. Missing padding after the last one is tolerated if `lenient`
 * (so does the kernel in an uncompressed archive, not in a compressed one). */
_warn_unused_result_ int newc_parser_finish(const NewcParser *p, bool lenient, char **reterr);

/* Appends one member: header, name and data, each padded to a multiple of 4 bytes from the start of the buffer. m->offset is not used;
 * failures stay in the writer. newc_member_size() is what it takes, or 0 if newc cannot express it. */
void newc_write(ByteWriter *w, const NewcMember *m, const void *data);
uint64_t newc_member_size(uint64_t name_length, uint64_t data_size);
