/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Completion scripts for bash and zsh, from an option table. */

#include <string.h>

#include "options-check.h"
#include "strutil.h"

/* "cvmspawn measure" is completed by the function _cvmspawn_measure, "cvmspawn-tunnel" by _cvmspawn_tunnel. */
static void print_function_name(const OptionTable *table, FILE *f) {
        fputc('_', f);
        for (const char *p = table->program; *p; p++)
                fputc(*p == ' ' || *p == '-' ? '_' : *p, f);
}

/* Whether an option has a meaning with this subcommand; command: NULL, any. */
static bool offered(const OptionCommand *command, const OptionRow *row) {
        return option_shown(row) &&
                        (!command || options_list_has(command->options, row->name) ||
                                        options_list_has("help version", row->name));
}

/* The first words of the subcommands, or the second ones behind `first`; each once, commands are listed by their first words. */
static void put_words(const OptionTable *table, const char *first, FILE *f) {
        const char *before = "";

        FOREACH_ARRAY(c, table->commands, table->n_commands) {
                size_t n = c->name ? strcspn(c->name, " ") : 0, m = strcspn(before, " ");

                if (!c->name)
                        continue;
                if (!first && (n != m || strncmp(c->name, before, n) != 0))
                        fprintf(f, "%.*s ", (int) n, c->name);
                else if (first && c->name[n] && n == strcspn(first, " ") && strncmp(c->name, first, n) == 0)
                        fprintf(f, "%s ", c->name + n + 1);
                before = c->name;
        }
}

static void bash_options(const OptionTable *table, const OptionCommand *command, FILE *f) {
        fprintf(f, "        local options='");
        FOREACH_ARRAY(row, table->rows, table->n_rows)
                if (offered(command, row))
                        fprintf(f, "--%s%s ", row->name, row->arg == OPTION_REQUIRED ? "=" : "");
        fprintf(f, "'\n");
}

/* A word is a subcommand, or a file as everywhere; a subcommand has its own options. It is the word after the verb, or after a program without verbs. */
static void bash_commands(const OptionTable *table, FILE *f) {
        unsigned first = strchr(table->program, ' ') ? 2 : 1;

        fprintf(f,
                        "        if [[ $cur != -* ]]; then\n                (( COMP_CWORD == %u )) && "
                        "COMPREPLY=($(compgen%s -W '",
                        first, table->command_optional ? " -f" : "");
        put_words(table, NULL, f);
        fprintf(f, "' -- \"$cur\"))\n");
        FOREACH_ARRAY(c, table->commands, table->n_commands) {
                if (!c->name || !strchr(c->name, ' '))
                        continue;
                fprintf(f,
                                "                [[ $COMP_CWORD == %u && ${COMP_WORDS[%u]} == %.*s ]] && "
                                "COMPREPLY=($(compgen -W '",
                                first + 1, first, (int) strcspn(c->name, " "), c->name);
                put_words(table, c->name, f);
                fprintf(f, "' -- \"$cur\"))\n");
        }
        fprintf(f, "                return 0\n        fi\n");
        bash_options(table, NULL, f);
        fprintf(f, "        case \"${COMP_WORDS[%u]-} ${COMP_WORDS[%u]-} \" in\n", first, first + 1);
        FOREACH_ARRAY(c, table->commands, table->n_commands)
                if (c->name) {
                        fprintf(f, "        \"%s \"*)\n        ", c->name);
                        bash_options(table, c, f);
                        fprintf(f, "                ;;\n");
                }
        fprintf(f, "        esac\n");
}

void options_bash(const OptionTable *table, FILE *f) {
        print_function_name(table, f);
        fprintf(f,
                        "() {\n        local cur=${COMP_WORDS[COMP_CWORD]} "
                        "prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                        "        [[ $cur == = ]] && cur=\n"
                        "        local given=\n        [[ ${COMP_WORDS[COMP_CWORD]} == = || $prev == = ]] "
                        "&& given=1\n"
                        "        [[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}\n        case $prev in\n");
        FOREACH_ARRAY(row, table->rows, table->n_rows) {
                if (!option_shown(row) || row->arg == OPTION_NONE)
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
                else if (row->flags & OPTION_COMMAS) /* what follows the last comma is completed */
                        fprintf(f,
                                        ") [[ $cur == *,* ]] && given=${cur%%,*}, || given=; compopt -o nospace 2>/dev/null\n"
                                        "                COMPREPLY=($(compgen -P \"$given\" -W '%s' -- "
                                        "\"${cur##*,}\")); return ;;\n",
                                        row->values);
                else
                        fprintf(f, ") COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", row->values);
        }
        fprintf(f, "        esac\n");
        if (table->n_commands > 0)
                bash_commands(table, f);
        else
                bash_options(table, NULL, f);
        fprintf(f,
                        "        COMPREPLY=($(compgen -W \"$options\" -- \"$cur\"))\n"
                        "        [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2>/dev/null\n"
                        "        return 0\n}\n");
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

/* The condition under which a row is offered: no subcommand yet, or one that has it. */
static void zsh_condition(const OptionTable *table, const OptionRow *row, FILE *f) {
        bool always = table->n_commands == 0 || options_list_has("help version", row->name);

        if (always)
                return;
        fprintf(f, "[[ \"$words[2] $words[3] \" == (-*");
        FOREACH_ARRAY(c, table->commands, table->n_commands)
                if (c->name && options_list_has(c->options, row->name))
                        fprintf(f, "|'%s '*", c->name);
        fprintf(f, ") ]] && ");
}

static void zsh_row(const OptionTable *table, const OptionRow *row, FILE *f) {
        fprintf(f, "        ");
        zsh_condition(table, row, f);
        fprintf(f, "specs+=('*--%s%s[", row->name,
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
                else if (row->flags & OPTION_COMMAS)
                        fprintf(f, ":_sequence compadd - %s", row->values);
                else
                        fprintf(f, ":(%s)", row->values);
        }
        fprintf(f, "')\n");
}

static void zsh_commands(const OptionTable *table, FILE *f) {
        if (table->command_optional) {
                fprintf(f, "        specs+=('1:command or file:{compadd ");
                put_words(table, NULL, f);
                fprintf(f, "; _files}')\n");
        } else {
                fprintf(f, "        specs+=('1:command:(");
                put_words(table, NULL, f);
                fprintf(f, ")')\n");
        }
        FOREACH_ARRAY(c, table->commands, table->n_commands) {
                if (!c->name || !strchr(c->name, ' '))
                        continue;
                fprintf(f, "        [[ $CURRENT == 3 && $words[2] == %.*s ]] && specs+=('2:command:(",
                                (int) strcspn(c->name, " "), c->name);
                put_words(table, c->name, f);
                fprintf(f, ")')\n");
        }
}

void options_zsh(const OptionTable *table, FILE *f) {
        print_function_name(table, f);
        fprintf(f, "() {\n        local -a specs=()\n");
        FOREACH_ARRAY(row, table->rows, table->n_rows)
                if (option_shown(row))
                        zsh_row(table, row, f);
        if (table->n_commands > 0)
                zsh_commands(table, f);
        fprintf(f, "        _arguments -S $specs '*:argument:_files'\n}\n");
}
