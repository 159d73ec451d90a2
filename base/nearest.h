/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Of some names, the one that a mistyped word most likely means. Candidates are offered one after another; `best` stays NULL while none
 * is near enough to be worth a suggestion. */

#include <stddef.h>

typedef struct Nearest {
        const char *word; /* borrowed */
        size_t n;         /* bytes of the word that count */
        const char *best; /* one of the candidates */
        unsigned distance;
} Nearest;

static inline Nearest nearest_to(const char *word, size_t n) {
        return (Nearest) { .word = word, .n = n };
}

void nearest_offer(Nearest *nearest, const char *candidate);
