/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-refusals.h"

#include "macro.h"
#include "strutil.h"

/* Its own oldest if it has its share; else a free one, or the oldest of all. */
static Refusal *place_for(Refusals *l, const char *vm) {
        Refusal *own = NULL, *oldest = NULL;
        size_t n = 0;

        FOREACH_ARRAY(f, l->items, REFUSALS_MAX) {
                if (!oldest || f->number < oldest->number)
                        oldest = f;
                if (!streq(f->vm, vm))
                        continue;
                n++;
                if (!own || f->number < own->number)
                        own = f;
        }
        return n >= REFUSALS_PER_VM ? own : oldest;
}

void refusals_add(Refusals *l, const Refusal *f) {
        Refusal *place = place_for(l, f->vm);

        *place = *f;
        place->number = ++l->n;
}

const Refusal *refusals_before(const Refusals *l, int64_t owner, uint64_t number) {
        const Refusal *found = NULL;

        FOREACH_ARRAY(f, l->items, REFUSALS_MAX)
                if (f->number > 0 && f->owner == owner && f->number < number &&
                                (!found || f->number > found->number))
                        found = f;
        return found;
}
