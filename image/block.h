/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A range of bytes that can be read anywhere: a raw image, the content of a qcow2 image, or a partition of either. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

/* The first read that failed. A search for one of many formats takes an unreadable place for "not this one": so the failure is kept here
 * and looked at in the end. */
typedef struct BlockFailure {
        int error;    /* 0: none */
        char *reason; /* owned */
} BlockFailure;

typedef struct Block Block;
struct Block {
        /* `offset` counts from the start of the disk; the range was checked. */
        int (*read)(const Block *b, uint64_t offset, void *buf, size_t n, char **reterr);
        void *userdata;        /* weak */
        BlockFailure *failure; /* weak; NULL: nobody wants to know */
        uint64_t start, size;
};

/* Takes a copy of the descriptor's number, which stays the caller's. -errno with an error message. */
_warn_unused_result_ int block_from_fd(int fd, Block *ret, char **reterr);
/* -ENODATA with an error message for a range that is not all there. */
_warn_unused_result_ int block_part(
                const Block *b, uint64_t offset, uint64_t size, Block *ret, char **reterr);
/* The same. */
_warn_unused_result_ int block_read(const Block *b, uint64_t offset, void *buf, size_t n, char **reterr);
