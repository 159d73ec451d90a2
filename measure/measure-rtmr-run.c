/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-rtmr-run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int rtmr_add_digest(RtmrRun *run, unsigned rtmr, uint32_t type, const char *name,
                const uint8_t digest[static SHA384_SIZE]) {
        RtmrEvents *e = run->events;
        RtmrEvent *items = reallocarray(e->items, e->n_items + 1, sizeof(RtmrEvent));

        if (!items)
                return -ENOMEM;
        e->items = items;
        items[e->n_items] = (RtmrEvent) { .rtmr = rtmr, .type = type, .name = strdup(name) };
        if (!items[e->n_items].name)
                return -ENOMEM;
        memcpy(items[e->n_items++].digest, digest, SHA384_SIZE);
        return 0;
}

int rtmr_add(RtmrRun *run, unsigned rtmr, uint32_t type, const char *name, const void *p, size_t n) {
        uint8_t digest[SHA384_SIZE];
        int r = hash_digest(HASH_SHA384, p, n, digest);

        return r < 0 ? r : rtmr_add_digest(run, rtmr, type, name, digest);
}

/* systemd.system-credentials(7) */
bool rtmr_has_shield(const char *text) {
        static const char word[] = "systemd.import_credentials=no";
        size_t n = strlen(word);

        for (const char *w = text; (w = strstr(w, word)); w += n)
                if ((w == text || w[-1] == ' ') && (!w[n] || w[n] == ' '))
                        return true;
        return false;
}

int rtmr_add_words(RtmrRun *run, uint32_t type, const char *name, const char *text) {
        size_t n = strlen(text);
        _cleanup_free_ uint8_t *wide = calloc(n + 1, 2);

        if (!wide)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                wide[2 * i] = (uint8_t) text[i];
        return rtmr_add(run, 2, type, name, wide, 2 * (n + 1));
}
