/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "options.h"

#include <string.h>

#include "error.h"
#include "strutil.h"

static void *target(void *userdata, const OptionRow *row) {
        return (char *) userdata + row->offset;
}

int option_set_true(
                void *userdata, const OptionRow *row, _unused_ const char *value, _unused_ char **reterr) {
        *(bool *) target(userdata, row) = true;
        return 0;
}

int option_set_false(
                void *userdata, const OptionRow *row, _unused_ const char *value, _unused_ char **reterr) {
        *(bool *) target(userdata, row) = false;
        return 0;
}

int option_set_bool(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        int b = value ? parse_boolean(value) : 1;

        if (b < 0)
                return error_set(reterr, b, "expected yes or no, not '%s'", value);
        *(bool *) target(userdata, row) = b;
        return 0;
}

int option_set_string(void *userdata, const OptionRow *row, const char *value, _unused_ char **reterr) {
        char **p = target(userdata, row), *copy = strdup(value);

        if (!copy)
                return -ENOMEM;
        free(*p);
        *p = copy;
        return 0;
}

int option_append(void *userdata, const OptionRow *row, const char *value, _unused_ char **reterr) {
        return strv_push(target(userdata, row), value);
}

int option_set_u64(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        int r = parse_u64(value, target(userdata, row));

        if (r < 0)
                return error_set(reterr, r, "expected a number (decimal, or hexadecimal after 0x), not '%s'",
                                value);
        return 0;
}

int option_set_unsigned(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        int r = parse_unsigned(value, target(userdata, row));

        if (r < 0)
                return error_set(reterr, r, "expected a number from 0 to 4294967295, not '%s'", value);
        return 0;
}

int option_set_usec(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        int r = parse_usec(value, target(userdata, row));

        if (r < 0)
                return error_set(reterr, r, "expected a time such as 90, 500ms or '2min 30s', not '%s'",
                                value);
        return 0;
}

int option_set_size(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        int r = parse_size(value, target(userdata, row));

        if (r < 0)
                return error_set(reterr, r, "expected bytes with an optional suffix K, M, G or T, not '%s'",
                                value);
        return 0;
}

/* Finds a row by the first n bytes of a long name: exactly, or by an unambiguous beginning. */
static int find_long(
                const OptionTable *t, const char *name, size_t n, const OptionRow **ret, char **reterr) {
        const OptionRow *candidate = NULL;
        bool ambiguous = false;

        FOREACH_ARRAY(row, t->rows, t->n_rows) {
                if (strncmp(row->name, name, n) != 0)
                        continue;
                if (!row->name[n]) {
                        *ret = row;
                        return 0;
                }
                ambiguous = ambiguous || candidate;
                candidate = row;
        }
        if (t->abbreviations && ambiguous)
                return error_set(reterr, -EINVAL, "option '--%.*s' is ambiguous, see --help", (int) n, name);
        if (!t->abbreviations || !candidate)
                return error_set(reterr, -EINVAL, "unknown option '--%.*s', see --help", (int) n, name);
        *ret = candidate;
        return 0;
}

static const OptionRow *find_letter(const OptionTable *t, char letter) {
        FOREACH_ARRAY(row, t->rows, t->n_rows)
                if (letter != 0 && row->letter == letter)
                        return row;
        return NULL;
}

/* One run over argv. */
typedef struct Parse {
        const OptionTable *table;
        void *userdata;
        bool *given; /* owned, one for each row; NULL if nobody asks */
} Parse;

static int handle(const Parse *p, const OptionRow *row, const char *value, char **reterr) {
        int r;

        if (row->flags & OPTION_UNSUPPORTED)
                return error_set(reterr, -EOPNOTSUPP,
                                "--%s is known from systemd-vmspawn, not supported yet: %s", row->name,
                                row->help);

        if (p->given)
                p->given[row - p->table->rows] = true;
        r = row->handler(p->userdata, row, value, reterr);
        if (r == -ENOMEM)
                return error_set(reterr, r, "out of memory");
        if (r < 0) {
                (void) error_set(reterr, r, "value '%s' not accepted", value ?: "");
                return error_prefix(reterr, r, "--%s", row->name);
        }
        return 0;
}

/* One "--name", "--name=value" or "--name value"; advances *i past a value of its own. */
static int parse_long(const Parse *p, int argc, char *const *argv, int *i, char **reterr) {
        const char *name = argv[*i] + 2, *value = NULL;
        size_t n = strcspn(name, "=");
        const OptionRow *row = NULL;
        int r;

        r = find_long(p->table, name, n, &row, reterr);
        if (r < 0)
                return r;
        if (name[n] == '=') {
                if (row->arg == OPTION_NONE && !(row->flags & OPTION_UNSUPPORTED))
                        return error_set(reterr, -EINVAL, "option '--%s' takes no value", row->name);
                value = name + n + 1;
        } else if (row->arg == OPTION_REQUIRED) {
                if (*i + 1 >= argc)
                        return error_set(reterr, -EINVAL, "option '--%s' needs a value: --%s=%s", row->name,
                                        row->name, row->metavar);
                value = argv[++*i];
        }
        return handle(p, row, value, reterr);
}

/* One "-x", "-xyz" (flags together), "-xVALUE" or "-x VALUE". */
static int parse_short(const Parse *p, int argc, char *const *argv, int *i, char **reterr) {
        for (const char *c = argv[*i] + 1; *c; c++) {
                const OptionRow *row = find_letter(p->table, *c);
                int r;

                if (!row)
                        return error_set(reterr, -EINVAL, "unknown option '-%c', see --help", *c);
                if (row->arg == OPTION_REQUIRED) {
                        const char *value = c[1] ? c + 1 : *i + 1 < argc ? argv[++*i] : NULL;

                        if (!value)
                                return error_set(reterr, -EINVAL, "option '-%c' needs a value: -%c %s", *c,
                                                *c, row->metavar);
                        return handle(p, row, value, reterr);
                }
                r = handle(p, row, NULL, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool has_word(const char *list, const char *word) {
        size_t n = strlen(word);

        for (const char *s = list; *s; s += strspn(s, " ")) {
                size_t k = strcspn(s, " ");

                if (k == n && strncmp(s, word, n) == 0)
                        return true;
                s += k;
        }
        return false;
}

/* Every option given must go with the first argument, if the table knows with what it goes. */
static int check_scopes(const Parse *p, const char *word, char **reterr) {
        FOREACH_ARRAY(s, p->table->scopes, p->table->n_scopes)
                for (size_t i = 0; i < p->table->n_rows && !has_word(s->words, word); i++)
                        if (p->given[i] && has_word(s->options, p->table->rows[i].name))
                                return error_set(reterr, -EINVAL, "--%s has no meaning for '%s', see --help",
                                                p->table->rows[i].name, word);
        return 0;
}

int options_parse(const OptionTable *table, int argc, char *const *argv, void *userdata,
                char ***ret_arguments, char **reterr) {
        _cleanup_strv_free_ char **arguments = NULL;
        _cleanup_free_ bool *given = table->n_scopes > 0 ? calloc(table->n_rows, sizeof(bool)) : NULL;
        const Parse p = { table, userdata, given };
        bool ended = false;

        if (table->n_scopes > 0 && !given)
                return -ENOMEM;
        for (int i = 1; i < argc; i++) {
                const char *a = argv[i];
                int r;

                if (!ended && streq(a, "--")) {
                        ended = true;
                        continue;
                }
                if (ended || a[0] != '-' || !a[1])
                        r = strv_push(&arguments, a);
                else if (a[1] == '-')
                        r = parse_long(&p, argc, argv, &i, reterr);
                else
                        r = parse_short(&p, argc, argv, &i, reterr);
                if (r < 0)
                        return r;
        }

        if (given && arguments) {
                int r = check_scopes(&p, arguments[0], reterr);

                if (r < 0)
                        return r;
        }
        *ret_arguments = TAKE_PTR(arguments);
        return 0;
}
