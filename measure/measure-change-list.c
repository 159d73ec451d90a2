/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A list of changes that grows. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "measure-change.h"

static void change_done(Change *c) {
        free(c->text);
        free(c->option);
}

void change_list_done(ChangeList *l) {
        FOREACH_ARRAY(c, l->items, l->n_items)
                change_done(c);
        free(l->items);
        *l = (ChangeList) {};
}

/* Takes text and option, also on failure; a NULL text is -ENOMEM. */
int change_list_add(ChangeList *l, Change change, char *text, char *option) {
        Change *items = text ? reallocarray(l->items, l->n_items + 1, sizeof(Change)) : NULL;

        if (!items) {
                free(text);
                free(option);
                return -ENOMEM;
        }
        change.text = text;
        change.option = option;
        l->items = items;
        items[l->n_items++] = change;
        return 0;
}

char *change_text(const char *f, ...) {
        va_list ap;
        char *s;
        int n;

        va_start(ap, f);
        n = vasprintf(&s, f, ap);
        va_end(ap);
        return n < 0 ? NULL : s;
}
