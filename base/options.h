/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One table of rows describes a program's options; parser, --help, shell completion and the man page check are made
 * from it. A row's handler stores the value into the program's own structure: there are no globals. */

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "macro.h"

typedef enum OptionArg {
        OPTION_NONE,     /* --name */
        OPTION_REQUIRED, /* --name=VALUE or --name VALUE */
        OPTION_OPTIONAL, /* --name or --name=VALUE */
        _OPTION_ARG_MAX,
} OptionArg;

typedef enum OptionFlags {
        OPTION_HIDDEN = 1 << 0,      /* an alias: parsed, but neither in help nor in completion */
        OPTION_UNSUPPORTED = 1 << 1, /* known from another tool; `help` is the reason why it is refused */
} OptionFlags;

typedef struct OptionRow OptionRow;

/* value: NULL when none was given. Returns 0 or -errno with a sentence that need not name the option: the parser puts it in
 * front. */
typedef int (*OptionHandler)(void *userdata, const OptionRow *row, const char *value, char **reterr);

struct OptionRow {
        const char *name; /* long name without dashes */
        char letter;      /* short name, or 0 */
        OptionArg arg;
        const char *metavar; /* shown in help; NULL for OPTION_NONE */
        const char *group;   /* heading in help; NULL: as the row before */
        const char *help;    /* one line, no full stop; newline continues */
        const char *values;  /* completion: words separated by blanks, "@file", "@dir" or NULL */
        OptionHandler handler;
        size_t offset; /* for the standard handlers: where in userdata the value goes */
        unsigned flags;
};

/* Options that go with some subcommands only: elsewhere they are refused instead of being without effect. Words are separated by blanks. */
typedef struct OptionScope {
        const char *options; /* long names */
        const char *words;   /* first arguments, "show verify" */
} OptionScope;

typedef struct OptionTable {
        const char *program;   /* "cvmspawn" or "cvmspawn measure" */
        const char *arguments; /* behind [OPTIONS...] in the usage line, or NULL */
        const char *summary;   /* what the program does: one sentence */
        const char *zone;      /* trust zone: "host", "verifier" or "guest" */
        const char *epilog;    /* behind the options in help, or NULL */
        const OptionRow *rows;
        size_t n_rows;
        const char *words; /* what the first argument can be, for completion: "show verify", or NULL */
        const OptionScope *scopes; /* or NULL */
        size_t n_scopes;
        bool abbreviations; /* accept unambiguous beginnings of long names, as getopt_long() does */
} OptionTable;

/* Fills userdata by the handlers in command-line order and collects the other arguments in *ret_arguments (owned strv);
 * options are recognised behind arguments too, and `--` ends them. -EINVAL (or the handler's error) with one sentence;
 * -EOPNOTSUPP for a row that is OPTION_UNSUPPORTED. */
_warn_unused_result_ int options_parse(const OptionTable *table, int argc, char *const *argv, void *userdata,
                char ***ret_arguments, char **reterr);

void options_help(const OptionTable *table, FILE *f);
/* Completion scripts for bash and zsh, and a plain list ("--name\tVALUE\tfirst help line") that the man page check reads.
 * `command` is what is completed and `subcommand` NULL or the verb. */
void options_bash(const OptionTable *table, FILE *f);
void options_zsh(const OptionTable *table, FILE *f);
void options_list(const OptionTable *table, FILE *f);
/* Handles the hidden --dump-options=help|bash|zsh|list that the build uses; true if argv asked for it. */
bool options_dump_requested(const OptionTable *table, int argc, char *const *argv);

/* Standard handlers; row->offset says where the value goes. */
int option_set_true(void *userdata, const OptionRow *row, const char *value, char **reterr);  /* bool */
int option_set_false(void *userdata, const OptionRow *row, const char *value, char **reterr); /* bool */
int option_set_bool(
                void *userdata, const OptionRow *row, const char *value, char **reterr); /* bool: yes|no */
int option_set_string(void *userdata, const OptionRow *row, const char *value,
                char **reterr); /* char *: last wins */
int option_append(void *userdata, const OptionRow *row, const char *value,
                char **reterr); /* char **: repeatable */
int option_set_unsigned(
                void *userdata, const OptionRow *row, const char *value, char **reterr);    /* unsigned */
int option_set_u64(void *userdata, const OptionRow *row, const char *value, char **reterr); /* uint64_t */
int option_set_usec(void *userdata, const OptionRow *row, const char *value,
                char **reterr); /* uint64_t: microseconds */
int option_set_size(void *userdata, const OptionRow *row, const char *value,
                char **reterr); /* uint64_t: bytes */
