/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "refs-diff-pair.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refs-registers.h"
#include "strutil.h"

#define UNPAIRED SIZE_MAX
#define FILES    4u /* of the inputs: what launches that differ are compared by */
/* Comparisons of launches that have neither inputs nor a name in common; with more, they came and went. */
#define COMPARISONS_MAX UINT64_C(100000000)

const char *const refs_input_names[REFS_INPUTS] = { "firmware", "kernel", "initrd", "cmdline", "vmm",
        "features" };

void refs_launch_inputs(const RefsLaunch *l, char features[static 32], const char *ret[static REFS_INPUTS]) {
        for (size_t i = 0; i < FILES; i++)
                ret[i] = refs_launch_sha256(l, refs_input_names[i]);
        ret[FILES] = l->vmm;
        (void) snprintf(features, 32, "0x%" PRIx64, l->features);
        ret[FILES + 1] = l->has_features ? features : NULL;
}

void refs_pairs_done(RefsPairs *p) {
        free(p->old);
        free(p->new);
        *p = (RefsPairs) {};
}

typedef struct Key {
        char *text; /* owned */
        size_t index;
} Key;

typedef struct Keys {
        Key *list; /* owned, sorted */
        size_t n;
} Keys;

static void keys_done(Keys *k) {
        FOREACH_ARRAY(x, k->list, k->n)
                free(x->text);
        free(k->list);
}

static int compare_keys(const void *a, const void *b) {
        const Key *x = a, *y = b;
        int c = strcmp(x->text, y->text);

        return c != 0 ? c : x->index < y->index ? -1 : x->index > y->index;
}

/* With the inputs, or by name alone. NULL and 0: it has no name. */
static int key_of(const RefsLaunch *l, bool exact, char **ret) {
        const char *inputs[REFS_INPUTS];
        _cleanup_(text_done) Text t = {};
        char features[32];

        *ret = NULL;
        if (!exact && !l->name)
                return 0;
        text_putf(&t, "%s\n%s", coco_mode_to_string(l->mode), l->name ?: "");
        refs_launch_inputs(l, features, inputs);
        for (size_t i = 0; exact && i < REFS_INPUTS; i++)
                text_putf(&t, "\n%s", inputs[i] ?: "-");
        /* Launches of the same files differ in them if memory or host tables do. */
        for (size_t i = 0; exact && i < REFS_REGISTERS; i++)
                text_putf(&t, "\n%s", refs_register(l, i) ?: "-");
        return text_finish(&t, ret);
}

static int collect(const RefsBundle *b, const size_t *pairs, bool exact, Keys *ret) {
        ret->list = calloc(b->n_launches + 1, sizeof(Key));
        if (!ret->list)
                return -ENOMEM;
        for (size_t i = 0; i < b->n_launches; i++) {
                Key *k = ret->list + ret->n;
                int r = pairs[i] == UNPAIRED ? key_of(b->launches + i, exact, &k->text) : 0;

                if (r < 0)
                        return r;
                k->index = i;
                ret->n += k->text != NULL;
        }
        qsort(ret->list, ret->n, sizeof(Key), compare_keys);
        return 0;
}

/* Both lists are sorted: equal texts are paired in the order of the launches. */
static int pair_by_key(const RefsBundle *old, const RefsBundle *new, bool exact, RefsPairs *p) {
        _cleanup_(keys_done) Keys a = {}, b = {};
        int r = collect(old, p->old, exact, &a);

        if (r >= 0)
                r = collect(new, p->new, exact, &b);
        for (size_t i = 0, k = 0; r >= 0 && i < a.n && k < b.n;) {
                int c = strcmp(a.list[i].text, b.list[k].text);

                if (c == 0)
                        p->old[a.list[i].index] = p->new[b.list[k].index] = p->n++;
                i += c <= 0;
                k += c >= 0;
        }
        return r;
}

/* How many files both have. */
static unsigned common(const RefsLaunch *a, const RefsLaunch *b) {
        const char *x[REFS_INPUTS], *y[REFS_INPUTS];
        char fx[32], fy[32];
        unsigned n = 0;

        if (a->mode != b->mode)
                return 0;
        refs_launch_inputs(a, fx, x);
        refs_launch_inputs(b, fy, y);
        for (size_t i = 0; i < FILES; i++)
                n += x[i] && y[i] && streq(x[i], y[i]);
        /* Among equals the one with the same profile and features. */
        return n == 0 ? 0
                      : 4 * n + 2 * streq_ptr(x[FILES], y[FILES]) + streq_ptr(x[FILES + 1], y[FILES + 1]);
}

static void pair_by_likeness(const RefsBundle *old, const RefsBundle *new, RefsPairs *p) {
        uint64_t a = 0, b = 0;

        for (size_t i = 0; i < old->n_launches; i++)
                a += p->old[i] == UNPAIRED;
        for (size_t i = 0; i < new->n_launches; i++)
                b += p->new[i] == UNPAIRED;
        if (b > 0 && a > COMPARISONS_MAX / b)
                return;
        for (size_t i = 0; b > 0 && i < old->n_launches; i++) {
                size_t best = 0;
                unsigned most = 0;

                for (size_t k = 0; p->old[i] == UNPAIRED && k < new->n_launches; k++) {
                        unsigned n = p->new[k] == UNPAIRED ? common(old->launches + i, new->launches + k)
                                                           : 0;

                        if (n > most) {
                                most = n;
                                best = k;
                        }
                }
                if (most > 0)
                        p->old[i] = p->new[best] = p->n++;
        }
}

int refs_pair(const RefsBundle *old, const RefsBundle *new, RefsPairs *ret) {
        _cleanup_(refs_pairs_done) RefsPairs p = {};
        int r;

        p.old = malloc(old->n_launches * sizeof(size_t));
        p.new = malloc(new->n_launches * sizeof(size_t));
        if (!p.old || !p.new)
                return -ENOMEM;
        for (size_t i = 0; i < old->n_launches; i++)
                p.old[i] = UNPAIRED;
        for (size_t i = 0; i < new->n_launches; i++)
                p.new[i] = UNPAIRED;
        r = pair_by_key(old, new, /* exact= */ true, &p);
        if (r >= 0)
                r = pair_by_key(old, new, /* exact= */ false, &p);
        if (r < 0)
                return r;
        pair_by_likeness(old, new, &p);
        for (size_t i = 0; i < old->n_launches; i++)
                if (p.old[i] == UNPAIRED)
                        p.old[i] = p.n++;
        for (size_t i = 0; i < new->n_launches; i++)
                if (p.new[i] == UNPAIRED)
                        p.new[i] = p.n++;
        *ret = TAKE_STRUCT(p, (RefsPairs) {});
        return 0;
}
