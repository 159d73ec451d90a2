/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "json-memory.h"

#include <stdint.h>

#include "macro.h"
#include "secret.h"

/* In front of each allocation. Neighbours are set while a text is parsed only, so that threads never share a list. */
struct JsonBlock {
        JsonBlock *previous, *next;
        size_t size;
        max_align_t data[];
};

/* jansson passes no userdata to its allocator. */
static bool erasing;
static _Thread_local JsonGuard *guard;

void *json_memory_alloc(size_t n) {
        JsonBlock *b = n <= SIZE_MAX - sizeof(JsonBlock) ? malloc(sizeof(JsonBlock) + n) : NULL;

        if (!b && guard)
                longjmp(guard->failed, 1);
        if (!b)
                return NULL;
        *b = (JsonBlock) { .size = n, .next = guard ? guard->blocks : NULL };
        if (b->next)
                b->next->previous = b;
        if (guard)
                guard->blocks = b;
        return b->data;
}

void json_memory_free(void *p) {
        JsonBlock *b;

        if (!p)
                return;
        b = (JsonBlock *) ((uint8_t *) p - offsetof(JsonBlock, data));
        if (b->previous)
                b->previous->next = b->next;
        else if (guard && guard->blocks == b)
                guard->blocks = b->next;
        if (b->next)
                b->next->previous = b->previous;
        if (erasing)
                erase_memory(p, b->size);
        free(b);
}

void json_memory_erase(void) {
        erasing = true;
}

void json_memory_guard(JsonGuard *g) {
        g->blocks = NULL;
        guard = g;
}

void json_memory_keep(JsonGuard *g) {
        guard = NULL;
        for (JsonBlock *b = g->blocks, *next; b; b = next) {
                next = b->next;
                b->previous = b->next = NULL;
        }
}

void json_memory_drop(JsonGuard *g) {
        while (g->blocks)
                json_memory_free(g->blocks->data);
        guard = NULL;
}
