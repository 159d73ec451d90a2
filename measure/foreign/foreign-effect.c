/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-effect.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

static bool lists(const char *names, const char *name) {
        size_t length = strlen(name);

        while (*names) {
                size_t n = strcspn(names, " ");

                if (n == length ? strncmp(names, name, n) == 0
                                : n > 0 && strchr(".:", names[n - 1]) && strncmp(names, name, n) == 0)
                        return true;
                names += n;
                names += strspn(names, " ");
        }
        return false;
}

const EffectRow *effect_find(const EffectTable *table, const char *name) {
        FOREACH_ARRAY(r, table->rows, table->n_rows)
                if (lists(r->names, name))
                        return r;
        return NULL;
}

int effect_check(const EffectTable *table, const char *name, char *const *assumed, char **reterr) {
        const EffectRow *row = effect_find(table, name);

        if (row && row->effect != EFFECT_UNKNOWN)
                return row->effect == EFFECT_KNOWN;
        if (strv_contains(assumed, name))
                return 2;
        return error_set(reterr, -EINVAL,
                        "%s%s: %s; if it changes no measured byte, add --assume-unmeasured=%s", table->what,
                        name, row && row->why ? row->why : "unknown, and it may change the measured bytes",
                        name);
}

static int check_value(const EffectRow *row, const Pair *pair, const char **ret_expected) {
        static const struct {
                const char *names, *expected; /* NULL: any word, or none */
        } values[_EFFECT_VALUE_MAX] = {
                [VALUE_BOOLEAN] = { NULL, "on or off" },
                [VALUE_ON_OFF_AUTO] = { "on off auto", "on, off or auto" },
                [VALUE_ON_OFF_SPLIT] = { "on off split", "on, off or split" },
                [VALUE_NUMBER] = { NULL, "a number" },
        };
        unsigned long long n;

        *ret_expected = values[row->value].expected;
        if (row->value == VALUE_BOOLEAN)
                return pair->json_string || qemu_boolean(pair->value) < 0 ? -EINVAL : 0;
        if (row->value == VALUE_NUMBER)
                return pair->json_string || qemu_number(pair->value, &n) < 0 ? -EINVAL : 0;
        return values[row->value].names && !lists(values[row->value].names, pair->value) ? -EINVAL : 0;
}

int effect_check_pair(const EffectTable *table, const Pair *pair, char *const *assumed, char **reterr) {
        const char *expected;
        int r = effect_check(table, pair->key, assumed, reterr), k;

        if (r < 0 || r == 2)
                return r;
        k = check_value(effect_find(table, pair->key), pair, &expected);
        return k < 0 ? error_set(reterr, k, "QEMU refuses this launch: %s%s=%s%s is not %s", table->what,
                                       pair->key, pair->value, pair->json_string ? " (a string)" : "",
                                       expected)
                     : r;
}
