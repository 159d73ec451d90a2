/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is generated from an option table for people and tests: help, and the lists of options and subcommands. */

#include <string.h>

#include "options-check.h"
#include "strutil.h"

#define HELP_COLUMN 34

/* Two columns; the right one may have several lines. */
static void help_text(const char *left, const char *h, FILE *f) {
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

static void help_row(const OptionRow *row, FILE *f) {
        char left[128];
        int n;

        n = snprintf(left, sizeof(left), "  %c%c%s--%s%s%s%s", row->letter ? '-' : ' ',
                        row->letter ? row->letter : ' ', row->letter ? " " : " ", row->name,
                        row->arg == OPTION_OPTIONAL ? "[" : "", row->arg == OPTION_NONE ? "" : "=",
                        row->arg == OPTION_NONE ? "" : row->metavar);
        if (row->arg == OPTION_OPTIONAL && n > 0 && (size_t) n + 1 < sizeof(left))
                (void) strcat(left, "]");

        help_text(left, row->help, f);
}

static const OptionCommand *find_command(const OptionTable *table, const char *word) {
        FOREACH_ARRAY(c, table->commands, word ? table->n_commands : 0)
                if (c->name && streq(c->name, word))
                        return c;
        return NULL;
}

static void help_head(const OptionTable *table, const OptionCommand *command, FILE *f) {
        const char *arguments = command         ? command->arguments
                        : table->arguments      ? table->arguments
                        : table->n_commands > 0 ? "COMMAND ..."
                                                : NULL;

        fprintf(f, "%s%s%s [OPTIONS...]%s%s\n\n%s%s\nTrust zone: %s\n", table->program, command ? " " : "",
                        command ? command->name : "", arguments ? " " : "", arguments ?: "",
                        command ? command->summary : table->summary, command ? "." : "", table->zone);
        if (command || table->n_commands == 0)
                return;
        fputs("\nCommands:\n", f);
        FOREACH_ARRAY(c, table->commands, table->n_commands) {
                char left[128];

                if (!c->name)
                        continue;
                (void) snprintf(left, sizeof(left), "  %s%s%s", c->name, c->arguments ? " " : "",
                                c->arguments ?: "");
                help_text(left, c->summary, f);
        }
}

static bool in_help(const OptionRow *row, const OptionCommand *command, bool all) {
        return option_shown(row) && (all || !(row->flags & OPTION_RARE)) &&
                        (!command || options_list_has(command->options, row->name) ||
                                        options_list_has("help version", row->name));
}

static void help(const OptionTable *table, const OptionCommand *command, bool all, FILE *f) {
        const char *group = "Options";
        bool rare = false;

        help_head(table, command, f);
        FOREACH_ARRAY(row, table->rows, table->n_rows) {
                group = row->group ?: group;
                rare = rare || row->flags & OPTION_RARE;
                if (!in_help(row, command, all))
                        continue;
                if (*group)
                        fprintf(f, "\n%s:\n", group);
                group = "";
                help_row(row, f);
        }
        if (rare && !all)
                fprintf(f, "\nThese are the common options; --help=all shows all of them.\n");
}

static void help_end(const OptionTable *table, FILE *f) {
        if (table->epilog)
                fprintf(f, "\n%s\n", table->epilog);
}

void options_help_for(const OptionTable *table, const char *word, FILE *f) {
        help(table, find_command(table, word), /* all= */ false, f);
        help_end(table, f);
}

void options_help(const OptionTable *table, FILE *f) {
        options_help_for(table, NULL, f);
}

void options_help_all(const OptionTable *table, FILE *f) {
        bool any = false;

        help(table, NULL, /* all= */ true, f);
        FOREACH_ARRAY(row, table->rows, table->n_rows) {
                if (!(row->flags & OPTION_UNSUPPORTED))
                        continue;
                if (!any)
                        fputs("\nKnown from systemd-vmspawn and not supported:\n", f);
                any = true;
                help_row(row, f);
        }
        help_end(table, f);
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
                { "commands", options_commands },
                { "introspect", options_introspect },
        };
        const char *what = argc != 2                         ? NULL
                        : streq(argv[1], "--introspect-cli") ? "introspect"
                                                             : startswith(argv[1], "--dump-options=");

        for (size_t i = 0; what && i < ELEMENTSOF(kinds); i++)
                if (streq(what, kinds[i].what)) {
                        kinds[i].print(table, stdout);
                        return true;
                }
        return false;
}
