/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "nearest.h"

#include <string.h>

#include "macro.h"

#define LENGTH_MAX 40u /* longer words get no suggestion */

/* Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours count one each. */
static unsigned distance(const char *a, size_t n, const char *b, size_t m) {
        unsigned rows[3][LENGTH_MAX + 1];
        unsigned *before = rows[0], *last = rows[1], *now = rows[2];

        for (size_t j = 0; j <= m; j++)
                last[j] = (unsigned) j;
        for (size_t i = 1; i <= n; i++) {
                unsigned *spare = before;

                now[0] = (unsigned) i;
                for (size_t j = 1; j <= m; j++) {
                        unsigned one = MIN(last[j], now[j - 1]) + 1,
                                 same = last[j - 1] + (a[i - 1] != b[j - 1]);

                        now[j] = MIN(one, same);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                now[j] = MIN(now[j], before[j - 2] + 1);
                }
                before = last;
                last = now;
                now = spare;
        }
        return last[m];
}

void nearest_offer(Nearest *nearest, const char *candidate) {
        size_t m = strlen(candidate);
        unsigned d;

        if (nearest->n < 2 || nearest->n > LENGTH_MAX || m > LENGTH_MAX)
                return;
        /* A beginning of three letters or more is as good as one typing error. */
        if (nearest->n >= 3 && strncmp(candidate, nearest->word, nearest->n) == 0)
                d = 1;
        else
                d = distance(nearest->word, nearest->n, candidate, m);
        if (d > 1 + nearest->n / 5 || (nearest->best && d >= nearest->distance))
                return;
        nearest->best = candidate;
        nearest->distance = d;
}
