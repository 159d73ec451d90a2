/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The memory of jansson. Up to 2.14 its parser overlooks that a buffer could not grow and then reads and writes behind it (lex_save(),
 * lex_scan_string() in its load.c). So while a text is parsed, an allocation that fails is not reported to jansson: it ends the
 * parsing by longjmp(3), and what had been allocated for it is freed. */

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct JsonBlock JsonBlock;

typedef struct JsonGuard {
        jmp_buf failed;
        JsonBlock *blocks;
} JsonGuard;

/* json_set_alloc_funcs() gets these two. */
void *json_memory_alloc(size_t n);
void json_memory_free(void *p);
/* From now on all memory is erased before it is freed. */
void json_memory_erase(void);

/* From here on, in this thread, a failure jumps to g->failed. */
void json_memory_guard(JsonGuard *g);
/* The end of that: the memory belongs to what was parsed. */
void json_memory_keep(JsonGuard *g);
/* After the jump: frees all of it. */
void json_memory_drop(JsonGuard *g);
