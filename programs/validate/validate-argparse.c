/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Python's argparse, as far as a parser with long and short options and no positional arguments shows it. First every
 * argument is classified (option, value, "--"), which is where ambiguous abbreviations fail, however late they come; then
 * the options are used from left to right; what is left over fails at the end. */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "options-check.h"
#include "strutil.h"
#include "validate.h"

typedef struct Match {
        bool is_option;
        const OptionRow *row; /* NULL: an option that nobody knows */
        bool long_form;       /* spelled with two dashes */
        const char *value;    /* after '=', or the rest of a cluster; NULL: none */
} Match;

static const OptionRow *find_letter(char letter) {
        FOREACH_ARRAY(row, validate_table.rows, validate_table.n_rows)
                if (row->letter && row->letter == letter)
                        return row;
        return NULL;
}

static const OptionRow *find_name(const char *name, size_t n) {
        FOREACH_ARRAY(row, validate_table.rows, validate_table.n_rows)
                if (strncmp(row->name, name, n) == 0 && !row->name[n])
                        return row;
        return NULL;
}

/* A long option by its beginning: *ret stays NULL if there is none. */
static int find_abbreviation(
                const char *argument, const char *name, size_t n, const OptionRow **ret, char **reterr) {
        _cleanup_(text_done) Text candidates = {};
        unsigned found = 0;

        FOREACH_ARRAY(row, validate_table.rows, validate_table.n_rows) {
                if (strncmp(row->name, name, n) != 0 || (row->flags & VALIDATE_OPTION_OURS))
                        continue;
                *ret = row;
                text_putf(&candidates, "%s--%s", found++ > 0 ? ", " : "", row->name);
        }
        if (found > 1)
                return error_set(reterr, -EINVAL, "ambiguous option: %s could match %s", argument,
                                candidates.data ?: "");
        return 0;
}

static int classify(const char *a, Match *ret, char **reterr) {
        Match m = { .is_option = true };
        int r;

        if (a[0] != '-' || !a[1]) {
                *ret = (Match) {};
                return 0;
        }
        if (a[1] == '-') {
                size_t n = strcspn(a + 2, "=");

                m.long_form = true;
                m.row = find_name(a + 2, n);
                if (!m.row) {
                        r = find_abbreviation(a, a + 2, n, &m.row, reterr);
                        if (r < 0)
                                return r;
                }
                m.value = a[2 + n] ? a + 3 + n : NULL;
        } else {
                m.row = find_letter(a[1]);
                m.value = !a[2] ? NULL : a[2] == '=' ? a + 3 : a + 2;
        }
        /* What no option matches but holds a blank is meant to be a value. */
        if (!m.row && strchr(a, ' '))
                m = (Match) {};
        *ret = m;
        return 0;
}

/* One run over argv. */
typedef struct Parse {
        ValidateArgs *args;
        bool *given; /* one for each row */
} Parse;

static int fail_argument(const OptionRow *row, char **reterr, const char *problem) {
        if (streq(row->name, "help"))
                return error_set(reterr, -EINVAL, "argument -h/--help: %s", problem);
        if (row->letter)
                return error_set(reterr, -EINVAL, "argument --%s/-%c: %s", row->name, row->letter, problem);
        return error_set(reterr, -EINVAL, "argument --%s: %s", row->name, problem);
}

static int fail_explicit(const OptionRow *row, char **reterr, const char *value) {
        _cleanup_free_ char *shown = validate_repr(value), *problem = NULL;

        if (!shown || asprintf(&problem, "ignored explicit argument %s", shown) < 0)
                return -ENOMEM;
        return fail_argument(row, reterr, problem);
}

static int use(const OptionRow *row, const char *value, Parse *p, char **reterr) {
        _cleanup_free_ char *problem = NULL;
        int r = row->handler(p->args, row, value, &problem);

        if (r < 0 && problem)
                return fail_argument(row, reterr, problem);
        p->given[row - validate_table.rows] = true;
        return r;
}

/* A cluster such as -dqf PATH: flags, then perhaps an option with a value. All letters must be known before any is
 * used. *ret_takes_next: the last one wants the next argument. */
static int use_option(const Match *m, Parse *p, const OptionRow **ret_takes_next, char **reterr) {
        const OptionRow *flags[64];
        const OptionRow *row = m->row;
        const char *value = m->value;
        size_t n = 0;
        int r = 0;

        while (row->arg == OPTION_NONE && value) {
                const OptionRow *next;

                if (m->long_form || !*value)
                        return fail_explicit(row, reterr, value);
                next = find_letter(*value);
                if (!next || n == ELEMENTSOF(flags))
                        return fail_explicit(row, reterr, value);
                flags[n++] = row;
                row = next;
                value = value[1] ? value + 1 : NULL;
        }
        for (size_t i = 0; i < n && r >= 0; i++)
                r = use(flags[i], NULL, p, reterr);
        if (r < 0)
                return r;
        if (row->arg == OPTION_NONE)
                return use(row, NULL, p, reterr);
        if (value)
                return use(row, value, p, reterr);
        *ret_takes_next = row;
        return 0;
}

static int parse(int argc, char *const *argv, const Match *matches, int end, Parse *p, char **reterr) {
        _cleanup_strv_free_ char **extra = NULL;
        _cleanup_free_ char *joined = NULL;
        int r = 0;

        for (int i = 1; i < argc && !p->args->help; i++) {
                const OptionRow *wants = NULL;

                if (i >= end || !matches[i].is_option || !matches[i].row) {
                        r = strv_push(&extra, argv[i]);
                        if (r < 0)
                                return r;
                        continue;
                }
                r = use_option(&matches[i], p, &wants, reterr);
                if (r >= 0 && wants) {
                        if (i + 1 >= end || matches[i + 1].is_option)
                                return fail_argument(wants, reterr, "expected one argument");
                        r = use(wants, argv[++i], p, reterr);
                }
                if (r < 0)
                        return r;
        }
        if (!extra || p->args->help)
                return 0;
        joined = strv_join(extra, " ");
        if (!joined)
                return -ENOMEM;
        return error_set(reterr, -EINVAL, "unrecognized arguments: %s", joined);
}

int validate_args_parse(int argc, char *const *argv, ValidateArgs *ret, char **reterr) {
        _cleanup_(validate_args_done) ValidateArgs args = {};
        _cleanup_free_ Match *matches = calloc((size_t) argc + 1, sizeof(Match));
        _cleanup_free_ bool *given = calloc(validate_table.n_rows, sizeof(bool));
        int end = argc, r;

        if (!matches || !given)
                return -ENOMEM;
        for (int i = 1; i < argc; i++) {
                if (streq(argv[i], "--")) { /* not an option, and neither is anything after it */
                        end = i;
                        break;
                }
                r = classify(argv[i], &matches[i], reterr);
                if (r < 0)
                        return r;
        }
        r = parse(argc, argv, matches, end, &(Parse) { &args, given }, reterr);
        if (r >= 0)
                r = options_check(&validate_table, given, NULL, reterr);
        if (r < 0)
                return r;
        if (!args.connect && !args.help) {
                args.connect = strdup("qemu:///system");
                if (!args.connect)
                        return -ENOMEM;
        }
        *ret = TAKE_STRUCT(args, (ValidateArgs) {});
        return 0;
}
