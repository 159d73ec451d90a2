/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For the files of this room only: a range of a file, read through a window. Not a mapping: a file that somebody
 * shortens meanwhile has to be an error, not a SIGBUS. */

#include <stddef.h>
#include <stdint.h>

#include "initrd-compression.h"
#include "macro.h"

/* Large enough that the system calls vanish beside decompression, small enough for the cache. */
#define INITRD_INPUT_WINDOW ((size_t) 256 * 1024)

struct InitrdInput {
        int fd;        /* borrowed */
        uint64_t base; /* offsets below are relative to this one in the file */
        uint64_t size;
        uint8_t *buf;           /* owned: INITRD_INPUT_WINDOW bytes */
        uint64_t start, filled; /* what the window holds */
};

/* -EFBIG if offset + length overflows; the size of the file is not checked. */
_warn_unused_result_ int initrd_input_open(InitrdInput *ret, int fd, uint64_t offset, uint64_t length);
void initrd_input_done(InitrdInput *in);

/* *ret points to at least one byte at `offset`, to as many as the window holds there; valid until the next call. *ret_n is
 * 0 only at or after the end. -ESTALE if the file is shorter than it should be, or the errno of pread(). */
_warn_unused_result_ int initrd_input_get(
                InitrdInput *in, uint64_t offset, const uint8_t **ret, size_t *ret_n);
/* Empties the window, so that the next call reads from the offset it names. */
static inline void initrd_input_forget(InitrdInput *in) {
        in->filled = 0;
}
/* Copies exactly n bytes: 0, -ENODATA after the end, or as above. */
_warn_unused_result_ int initrd_input_read(InitrdInput *in, uint64_t offset, void *buf, size_t n);
