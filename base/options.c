/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "options.h"

#include <string.h>
#include <unistd.h>

#include "error.h"
#include "nearest.h"
#include "options-check.h"
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

int option_given_twice(char **reterr) {
        return error_set(reterr, -EINVAL, "given twice; pass this option once");
}

int option_set_once(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        if (*(char **) target(userdata, row))
                return option_given_twice(reterr);
        return option_set_string(userdata, row, value, reterr);
}

int option_set_word(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        if (!options_list_has(row->values, value))
                return error_set(reterr, -EINVAL, "expected %s, not '%s'", values_text(row->values).text,
                                value);
        return option_set_string(userdata, row, value, reterr);
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

int option_set_number(void *userdata, const OptionRow *row, const char *value, unsigned least, unsigned most,
                char **reterr) {
        uint64_t n;

        if (parse_u64_max(value, most, &n) < 0 || n < least)
                return error_set(reterr, -ERANGE, "expected a number from %u to %u, not '%s'", least, most,
                                value);
        *(unsigned *) target(userdata, row) = (unsigned) n;
        return 0;
}

int option_set_usec(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        int r = parse_usec(value, target(userdata, row));

        if (r < 0)
                return error_set(reterr, r, "expected a time such as 90, 500ms or '2min 30s', not '%s'",
                                value);
        return 0;
}

int option_set_days(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        const char *end = value + strspn(value, "0123456789");
        _cleanup_free_ char *number = strndup(value, (size_t) (end - value));
        uint64_t *usec = target(userdata, row), days;
        int r = 0;

        if (!number)
                return -ENOMEM;
        if (*usec > 0)
                return option_given_twice(reterr);
        if (!streq(end, "d"))
                r = option_set_usec(userdata, row, value, reterr);
        else if (parse_u64_max(number, 365000, &days) < 0)
                r = error_set(reterr, -EINVAL, "expected a time such as 30d or 12h, not '%s'", value);
        else
                *usec = days * 86400 * 1000000;
        if (r >= 0 && *usec < 1000000)
                r = error_set(reterr, -EINVAL, "expected a time of at least 1 s, not '%s'", value);
        return r;
}

int option_set_size(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        int r = parse_size(value, target(userdata, row));

        if (r < 0)
                return error_set(reterr, r, "expected bytes with an optional suffix K, M, G or T, not '%s'",
                                value);
        return 0;
}

static const char *const json_styles[] = {
        [OPTION_JSON_OFF] = "off",
        [OPTION_JSON_PRETTY] = "pretty",
        [OPTION_JSON_SHORT] = "short",
};
static_assert(ELEMENTSOF(json_styles) == _OPTION_JSON_MAX, "every style has a name");

int option_parse_json(const char *value, OptionJson *ret, char **reterr) {
        if (!value) {
                *ret = isatty(STDOUT_FILENO) ? OPTION_JSON_PRETTY : OPTION_JSON_SHORT;
                return 0;
        }
        for (OptionJson j = 0; j < _OPTION_JSON_MAX; j++)
                if (streq(value, json_styles[j])) {
                        *ret = j;
                        return 0;
                }
        return error_set(reterr, -EINVAL, "expected pretty, short or off, not '%s'", value);
}

int option_set_json(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        return option_parse_json(value, target(userdata, row), reterr);
}

void options_free(const OptionTable *table, void *userdata) {
        FOREACH_ARRAY(row, table->rows, table->n_rows) {
                if (row->handler == option_set_string || row->handler == option_set_once ||
                                row->handler == option_set_word || row->flags & OPTION_STRING)
                        free(TAKE_PTR(*(char **) target(userdata, row)));
                else if (row->handler == option_append || row->flags & OPTION_LIST) {
                        char ***list = target(userdata, row);

                        *list = strv_free(*list);
                }
        }
}

static int unknown_option(const OptionTable *t, const char *name, size_t n, char **reterr) {
        Nearest nearest = nearest_to(name, n);

        FOREACH_ARRAY(row, t->rows, t->n_rows)
                if (!(row->flags & (OPTION_HIDDEN | OPTION_UNSUPPORTED)))
                        nearest_offer(&nearest, row->name);
        if (nearest.best)
                return error_set(reterr, -EINVAL, "unknown option '--%.*s'; did you mean --%s? See --help",
                                (int) n, name, nearest.best);
        return error_set(reterr, -EINVAL, "unknown option '--%.*s', see --help", (int) n, name);
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
                return unknown_option(t, name, n, reterr);
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

/* A value that asks for what happens anyway: one of row->values, truth values in any spelling. */
static bool asks_for_nothing(const OptionRow *row, const char *value) {
        _cleanup_strv_free_ char **words = NULL;

        if (!row->values || !value || strv_split(row->values, ' ', &words) < 0)
                return false;
        STRV_FOREACH(w, words)
                if (streq(*w, value) ||
                                (parse_boolean(*w) >= 0 && parse_boolean(*w) == parse_boolean(value)))
                        return true;
        return false;
}

static int handle(const Parse *p, const OptionRow *row, const char *value, char **reterr) {
        int r;

        if (row->flags & OPTION_UNSUPPORTED && asks_for_nothing(row, value))
                return 0;
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
                (void) error_set(reterr, r, "value '%s' is not accepted", value ?: "");
                return error_prefix(reterr, r, "--%s", row->name);
        }
        return 0;
}

/* One "--name", "--name=value" or "--name value"; advances *i past its own value. */
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

int options_parse(const OptionTable *table, int argc, char *const *argv, void *userdata,
                char ***ret_arguments, char **reterr) {
        _cleanup_strv_free_ char **arguments = NULL;
        bool checked = table->n_commands > 0 || table->n_rules > 0;
        _cleanup_free_ bool *given = checked ? calloc(table->n_rows, sizeof(bool)) : NULL;
        const Parse p = { table, userdata, given };
        bool ended = false;

        if (checked && !given)
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

        if (given) {
                int r = options_check(table, given, arguments, reterr);

                if (r < 0)
                        return r;
        }
        *ret_arguments = TAKE_PTR(arguments);
        return 0;
}
