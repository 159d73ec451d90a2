/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* key=value lists as QEMU reads them. There are two dialects: QemuOpts (docs: util/qemu-option.c), where an item without '=' is a switch
 * that is on ("no" in front: off), and keyval (util/keyval.c), where such an item is an error. In both a doubled comma is a comma,
 * and the first item may lack its key. The last of several items with one key counts. */

#include <stdbool.h>
#include <stddef.h>

#include "json.h"

/* QEMU's option lines are long, but have nowhere near this many items. */
#define PAIRS_MAX 4096u

typedef struct Pair {
        char *key, *value; /* owned */
        bool json_string;  /* a string in JSON, where QEMU wants numbers and booleans as such */
} Pair;

typedef struct Pairs {
        Pair *items; /* owned */
        size_t n_items;
} Pairs;

typedef enum PairsDialect {
        PAIRS_OPTS,
        PAIRS_KEYVAL,
} PairsDialect;

void pairs_done(Pairs *p);

/* Adds the items of a text. `implied` is the key of a first item without '=' and may be NULL. */
_warn_unused_result_ int pairs_parse(
                Pairs *p, const char *text, PairsDialect dialect, const char *implied, char **reterr);
/* The same, or JSON if the text begins with a brace: -object, -device, -blockdev. */
_warn_unused_result_ int pairs_parse_any(
                Pairs *p, const char *text, PairsDialect dialect, const char *implied, char **reterr);
/* Adds the members of a JSON object; members of members get dotted keys. */
_warn_unused_result_ int pairs_parse_json(Pairs *p, const Json *object, char **reterr);
_warn_unused_result_ int pairs_set(Pairs *p, const char *key, const char *value);
/* NULL if absent; borrowed. */
const char *pairs_get(const Pairs *p, const char *key);
/* Underscores in keys become dashes, as in -machine and -cpu. */
void pairs_dashify(Pairs *p);
/* The list as text, commas doubled; owned. */
_warn_unused_result_ int pairs_text(const Pairs *p, char **ret);

/* on, yes, true, y; off, no, false, n: 1, 0, or -EINVAL. QEMU takes no other spelling. */
_warn_unused_result_ int qemu_boolean(const char *s);
/* "help" or "?": QEMU prints something and ends. */
bool qemu_is_help(const char *s);
/* A number as QEMU's visitors read it: decimal, 0x and octal. */
_warn_unused_result_ int qemu_number(const char *s, unsigned long long *ret);
/* A decimal size with a suffix B, K, M, G, T, P, E; without one in units of `unit` bytes. Fractions are allowed. */
_warn_unused_result_ int qemu_size(const char *s, unsigned long long unit, unsigned long long *ret);
