/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bytes that must not leak: locked into memory where the limit allows it, left out of core dumps, erased before they
 * are given back, compared in constant time. Never pass one to a printf-like function, to argv or to the environment. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"

typedef struct SecretBuf {
        uint8_t *data; /* owned: page-aligned mapping; NULL if empty */
        size_t size;
        size_t mapped;
} SecretBuf;

/* 0 or -ENOMEM. A size of 0 is fine and allocates nothing. The content starts as zeros. */
int secret_buf_alloc(SecretBuf *s, size_t size);
/* Copies `size` bytes; the source is the caller's to erase. */
int secret_buf_copy(SecretBuf *s, const void *data, size_t size);
/* Gives up the bytes after `size`, which are erased. */
void secret_buf_shrink(SecretBuf *s, size_t size);
/* Erases and unmaps; takes an empty or zeroed buffer. */
void secret_buf_done(SecretBuf *s);
/* Reads a whole file (regular, pipe or socket) of at most `max` bytes: 0, -E2BIG, or the errno of open or read. */
int secret_buf_read_fd(SecretBuf *s, int fd, size_t max);

/* Erases memory in a way that the compiler keeps. */
void erase_memory(void *p, size_t n);
/* Erases a NUL-terminated string and frees it; takes NULL. */
void erase_string_free(char *s);
/* True if both ranges are equal; the time depends on n alone. */
bool constant_time_equal(const void *a, const void *b, size_t n);

/* No core files of this process from now on: for programs that hold keys. */
void secret_forbid_core(void);
