/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-list.h"

#include <errno.h>
#include <string.h>

#include "foreign-argv.h"
#include "foreign-qemu-table.h"
#include "strutil.h"

void foreign_lines_done(ForeignLines *l) {
        FOREACH_ARRAY(i, l->items, l->n_items) {
                strv_free(i->argv);
                strv_free(i->notices);
        }
        free(l->items);
        *l = (ForeignLines) {};
}

/* Takes argv and notices. */
static int add(ForeignLines *l, ForeignLine line) {
        ForeignLine *items = l->n_items < FOREIGN_LINES_MAX
                        ? reallocarray(l->items, l->n_items + 1, sizeof(ForeignLine))
                        : NULL;

        if (!items) {
                strv_free(line.argv);
                strv_free(line.notices);
                return l->n_items < FOREIGN_LINES_MAX ? -ENOMEM : -E2BIG;
        }
        l->items = items;
        items[l->n_items++] = line;
        return 0;
}

int foreign_list_words(ForeignLines *l, const Words *words, const char *source, size_t line, bool copy,
                char **reterr) {
        ForeignLine found = { .line = line, .copy = copy };
        int r = foreign_argv(words, source, &found.argv, &found.notices, reterr);

        if (r < 0) {
                strv_free(found.notices);
                return r;
        }
        return add(l, found);
}

/* "-accel kvm" names no program. */
bool foreign_takes_value(const char *word) {
        const char *name = foreign_option_name(word);

        return name && qemu_option_argument(name) > 0;
}

/* Prefixes such as sudo or VAR=x stand in front of the program. */
static char *const *skip_to_program(char *const *l) {
        STRV_FOREACH(s, l)
                if ((s == l || !foreign_takes_value(s[-1])) && foreign_is_program(*s, strlen(*s)) &&
                                (*s)[0] != '-' && !strchr(*s, '=') && s[1] && foreign_option_name(s[1]))
                        return s;
        return l;
}

int foreign_list_exact(ForeignLines *l, char *const *argv, size_t line) {
        ForeignLine found = { .line = line };
        int r = argv && argv[0] && foreign_option_name(argv[0])
                        ? strv_push(&found.argv, "qemu-system-x86_64")
                        : 0;

        STRV_FOREACH(s, skip_to_program(argv))
                if (r >= 0)
                        r = strv_push(&found.argv, *s);
        if (r < 0) {
                strv_free(found.argv);
                return r;
        }
        return add(l, found);
}

int foreign_list_strings(ForeignLines *l, const Words *words, size_t line) {
        _cleanup_strv_free_ char **argv = NULL;
        int r = 0;

        FOREACH_ARRAY(w, words->items, words->n_items)
                if (r >= 0)
                        r = strv_push(&argv, w->text);
        return r < 0 ? r : foreign_list_exact(l, argv, line);
}
