/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an option, a property or an element of another launcher does to the measured bytes. Each reader has a table of the names that it
 * knows. A name that is in no table, or whose effect nobody has worked out, is refused by name; the user's consent is
 * --assume-unmeasured=NAME. Nothing is dropped. */

#include <stdbool.h>
#include <stddef.h>

#include "foreign-pairs.h"
#include "macro.h"

typedef enum Effect {
        EFFECT_NONE,    /* changes no measured byte */
        EFFECT_KNOWN,   /* the reader takes it into account */
        EFFECT_UNKNOWN, /* may change measured bytes in a way that is not computed here */
        _EFFECT_MAX,
} Effect;

/* What QEMU accepts as a value; with another one there is no launch. */
typedef enum EffectValue {
        VALUE_ANY,
        VALUE_BOOLEAN,
        VALUE_ON_OFF_AUTO,
        VALUE_ON_OFF_SPLIT,
        VALUE_NUMBER,
        _EFFECT_VALUE_MAX,
} EffectValue;

/* Names separated by blanks that share an effect. A name that ends with "." or ":" stands for all that begin with it. */
typedef struct EffectRow {
        Effect effect;
        const char *names;
        const char *why; /* EFFECT_UNKNOWN: half a sentence for the user, or NULL */
        EffectValue value;
} EffectRow;

typedef struct EffectTable {
        const char *what; /* "QEMU option -", "-machine property ": stands in front of the name in messages */
        const EffectRow *rows;
        size_t n_rows;
} EffectTable;

/* The row with the name; NULL: there is none. */
const EffectRow *effect_find(const EffectTable *table, const char *name);

/* 0: none; 1: known, the caller has to read it; 2: unknown, and the user consented; -EINVAL with an error message that names it. `assumed`
 * may be NULL. */
_warn_unused_result_ int effect_check(
                const EffectTable *table, const char *name, char *const *assumed, char **reterr);
/* The same for a name with its value. */
_warn_unused_result_ int effect_check_pair(
                const EffectTable *table, const Pair *pair, char *const *assumed, char **reterr);
