/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is generated from an option table: help, completion scripts and the list for the man page check. */

#include <string.h>

#include "options.h"
#include "strutil.h"

#define HELP_COLUMN 34

static bool shown(const OptionRow *row) {
        return !(row->flags & (OPTION_HIDDEN | OPTION_UNSUPPORTED));
}

static void help_row(const OptionRow *row, FILE *f) {
        char left[128];
        const char *h = row->help;
        int n;

        n = snprintf(left, sizeof(left), "  %c%c%s--%s%s%s%s", row->letter ? '-' : ' ',
                        row->letter ? row->letter : ' ', row->letter ? " " : " ", row->name,
                        row->arg == OPTION_OPTIONAL ? "[" : "", row->arg == OPTION_NONE ? "" : "=",
                        row->arg == OPTION_NONE ? "" : row->metavar);
        if (row->arg == OPTION_OPTIONAL && n > 0 && (size_t) n + 1 < sizeof(left))
                (void) strcat(left, "]");

        if (strlen(left) >= HELP_COLUMN)
                fprintf(f, "%s\n%*s", left, HELP_COLUMN, "");
        else
                fprintf(f, "%-*s", HELP_COLUMN, left);
        for (;;) {
                size_t k = strcspn(h, "\n");

                fprintf(f, "%.*s\n", (int) k, h);
                if (!h[k])
                        break;
                h += k + 1;
                fprintf(f, "%*s", HELP_COLUMN, "");
        }
}

void options_help(const OptionTable *table, FILE *f) {
        fprintf(f, "%s [OPTIONS...]%s%s\n\n%s\nTrust zone: %s\n", table->program,
                        table->arguments ? " " : "", table->arguments ?: "", table->summary, table->zone);
        FOREACH_ARRAY(row, table->rows, table->n_rows) {
                if (row->group)
                        fprintf(f, "\n%s:\n", row->group);
                else if (row == table->rows)
                        fputs("\nOptions:\n", f);
                if (shown(row))
                        help_row(row, f);
        }
        if (table->epilog)
                fprintf(f, "\n%s\n", table->epilog);
}

/* "cvmspawn measure" is completed by the function _cvmspawn_measure. */
static void print_function_name(const OptionTable *table, FILE *f) {
        fputc('_', f);
        for (const char *p = table->program; *p; p++)
                fputc(*p == ' ' || *p == '-' ? '_' : *p, f);
}

void options_bash(const OptionTable *table, FILE *f) {
        print_function_name(table, f);
        fprintf(f,
                        "() {\n        local cur=${COMP_WORDS[COMP_CWORD]} "
                        "prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                        "        [[ $cur == = ]] && cur=\n"
                        "        local given=\n        [[ ${COMP_WORDS[COMP_CWORD]} == = || $prev == = ]] "
                        "&& given=1\n"
                        "        [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}\n        case $prev "
                        "in\n");
        FOREACH_ARRAY(row, table->rows, table->n_rows) {
                if (!shown(row) || row->arg == OPTION_NONE)
                        continue;
                fprintf(f, "        --%s", row->name);
                if (row->letter)
                        fprintf(f, "|-%c", row->letter);
                if (row->arg == OPTION_OPTIONAL) /* the next word is not its value */
                        fprintf(f,
                                        ") [[ $given ]] && COMPREPLY=($(compgen -W '%s' -- \"$cur\")) && "
                                        "return ;;\n",
                                        row->values ?: "");
                else if (!row->values)
                        fprintf(f, ") COMPREPLY=(); return ;;\n");
                else if (row->values[0] == '@')
                        fprintf(f,
                                        ") compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -%s -- "
                                        "\"$cur\")); return ;;\n",
                                        streq(row->values, "@dir") ? "d" : "f");
                else
                        fprintf(f, ") COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", row->values);
        }
        fprintf(f, "        esac\n");
        if (table->words)
                /* A word is a subcommand, or a file as everywhere. */
                fprintf(f,
                                "        if [[ $cur != -* ]]; then\n                (( COMP_CWORD == 2 )) "
                                "&& "
                                "COMPREPLY=($(compgen -W '%s' -- \"$cur\"))\n                return 0\n     "
                                "   fi\n",
                                table->words);
        fprintf(f, "        COMPREPLY=($(compgen -W '");
        FOREACH_ARRAY(row, table->rows, table->n_rows)
                if (shown(row))
                        fprintf(f, "--%s%s ", row->name, row->arg == OPTION_REQUIRED ? "=" : "");
        fprintf(f,
                        "' -- \"$cur\"))\n        [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace "
                        "2>/dev/null\n        return 0\n}\n");
}

/* Quotes for a zsh _arguments specification inside single quotes. */
static void put_zsh(const char *s, FILE *f) {
        for (; *s && *s != '\n'; s++) {
                if (*s == '\'')
                        fputs("'\\''", f);
                else if (strchr("[]:\\", *s))
                        fprintf(f, "\\%c", *s);
                else
                        fputc(*s, f);
        }
}

void options_zsh(const OptionTable *table, FILE *f) {
        print_function_name(table, f);
        fprintf(f, "() {\n        _arguments -S \\\n");
        FOREACH_ARRAY(row, table->rows, table->n_rows) {
                if (!shown(row))
                        continue;
                fprintf(f, "                '*--%s%s[", row->name,
                                row->arg == OPTION_NONE                       ? ""
                                                : row->arg == OPTION_OPTIONAL ? "=-"
                                                                              : "=");
                put_zsh(row->help, f);
                fputc(']', f);
                if (row->arg != OPTION_NONE) {
                        fputs(row->arg == OPTION_OPTIONAL ? "::" : ":", f);
                        put_zsh(row->metavar, f);
                        if (!row->values)
                                fprintf(f, ": ");
                        else if (row->values[0] == '@')
                                fprintf(f, ":%s", streq(row->values, "@dir") ? "_directories" : "_files");
                        else
                                fprintf(f, ":(%s)", row->values);
                }
                fprintf(f, "' \\\n");
        }
        if (table->words)
                fprintf(f, "                '1:command:(%s)' \\\n", table->words);
        fprintf(f, "                '*:argument:_files'\n}\n");
}

void options_list(const OptionTable *table, FILE *f) {
        FOREACH_ARRAY(row, table->rows, table->n_rows)
                if (!(row->flags & OPTION_HIDDEN))
                        fprintf(f, "%s\t--%s\t%s\t%.*s\n",
                                        row->flags & OPTION_UNSUPPORTED ? "unsupported" : "option",
                                        row->name, row->metavar ?: "", (int) strcspn(row->help, "\n"),
                                        row->help);
}

bool options_dump_requested(const OptionTable *table, int argc, char *const *argv) {
        static const struct {
                const char *what;
                void (*print)(const OptionTable *table, FILE *f);
        } kinds[] = {
                { "help", options_help },
                { "bash", options_bash },
                { "zsh", options_zsh },
                { "list", options_list },
        };
        const char *what = argc == 2 ? startswith(argv[1], "--dump-options=") : NULL;

        for (size_t i = 0; what && i < ELEMENTSOF(kinds); i++)
                if (streq(what, kinds[i].what)) {
                        kinds[i].print(table, stdout);
                        return true;
                }
        return false;
}
