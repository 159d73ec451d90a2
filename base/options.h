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
        OPTION_STRING = 1 << 2,      /* a handler of the program's own fills a char *, for options_free() */
        OPTION_LIST = 1 << 3,        /* the same, a char ** */
        OPTION_RARE = 1 << 5,        /* in --help=all and the manual, not in --help */
        OPTION_COMMAS = 1 << 4,      /* the value may be several of row->values, separated by commas */
} OptionFlags;

typedef struct OptionRow OptionRow;

/* value: NULL when none was given. Returns 0 or -errno with an error message that need not name the option: the parser puts it in
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

/* A subcommand: what the first argument, or the first two, can be. The lists are complete: an option that is not in the list of the subcommand is refused,
 * so that a new one is without effect nowhere. --help and --version need no mention. */
typedef struct OptionCommand {
        const char *name;      /* "show", "secret list"; NULL: without a subcommand */
        const char *arguments; /* behind the name in help, or NULL */
        const char *summary;   /* imperative, one line */
        const char *options;   /* long names separated by blanks, or NULL */
} OptionCommand;

/* Options that have a meaning in some combinations only: elsewhere they are refused instead of being without effect. All lists are long names
 * separated by blanks. The first broken one is reported. */
typedef struct OptionRule {
        const char *options;  /* if one of these was given ... */
        const char *needs;    /* ... at least one of these must have been given, too; or NULL */
        const char *excludes; /* ... none of these may have been given; or NULL */
        const char *why;      /* goes after the message as its reason, or NULL */
} OptionRule;

typedef struct OptionTable {
        const char *program;   /* "cvmspawn" or "cvmspawn measure" */
        const char *arguments; /* after [OPTIONS...] in the usage line, or NULL */
        const char *summary;   /* what the program does: one sentence */
        const char *zone;      /* trust zone: "host", "verifier" or "guest" */
        const char *epilog;    /* after the options in help, or NULL */
        const OptionRow *rows;
        size_t n_rows;
        const OptionCommand *commands; /* or NULL: the first argument is one like the others */
        size_t n_commands;
        bool command_optional; /* a single argument other than a subcommand is one like the others; a mistyped subcommand is named unless a file has its name */
        const OptionRule *rules; /* or NULL */
        size_t n_rules;
        bool abbreviations; /* accept unambiguous beginnings of long names, as getopt_long() does */
} OptionTable;

/* Fills userdata by the handlers in command-line order and collects the other arguments in *ret_arguments (owned strv);
 * options are recognised after arguments too, and `--` ends them. -EINVAL (or the handler's error) with an error message;
 * -EOPNOTSUPP for a row that is OPTION_UNSUPPORTED. */
_warn_unused_result_ int options_parse(const OptionTable *table, int argc, char *const *argv, void *userdata,
                char ***ret_arguments, char **reterr);

void options_help(const OptionTable *table, FILE *f);
/* The same for one subcommand, if word is one: its options alone. */
void options_help_for(const OptionTable *table, const char *word, FILE *f);
/* All rows: the rare ones too, and those that are OPTION_UNSUPPORTED with the reasons. */
void options_help_all(const OptionTable *table, FILE *f);
/* Completion scripts for bash and zsh, and a plain list ("--name\tVALUE\tfirst help line") that the man page check reads.
 * `command` is what is completed and `subcommand` NULL or the verb. */
void options_bash(const OptionTable *table, FILE *f);
void options_zsh(const OptionTable *table, FILE *f);
void options_list(const OptionTable *table, FILE *f);
/* What goes with which subcommand, for tests: "NAME\t--option\t..." a line; without subcommands nothing. */
void options_commands(const OptionTable *table, FILE *f);
/* One line of JSON, as systemd's programs describe their options; nothing if memory is short. */
void options_introspect(const OptionTable *table, FILE *f);
/* Handles the hidden --dump-options=help|bash|zsh|list|commands that the build uses, and --introspect-cli; true if argv asked for it. */
bool options_dump_requested(const OptionTable *table, int argc, char *const *argv);

/* --json[=pretty|short|off]: without a value pretty on a terminal, else short. */
typedef enum OptionJson {
        OPTION_JSON_OFF,
        OPTION_JSON_PRETTY,
        OPTION_JSON_SHORT,
        _OPTION_JSON_MAX,
} OptionJson;

#define OPTION_JSON_HELP   "Print JSON: pretty, short or off (default: pretty on\na terminal, otherwise short)"
#define OPTION_JSON_VALUES "pretty short off"

_warn_unused_result_ int option_parse_json(const char *value, OptionJson *ret, char **reterr);
int option_set_json(void *userdata, const OptionRow *row, const char *value, char **reterr); /* OptionJson */

/* Frees the strings and lists that the table's rows fill, and sets them to NULL: the table owns them. A handler of a program's own that
 * stores by option_set_string() or option_append() has the flag that says so. */
void options_free(const OptionTable *table, void *userdata);

/* Standard handlers; row->offset says where the value goes. */
int option_set_true(void *userdata, const OptionRow *row, const char *value, char **reterr);  /* bool */
int option_set_false(void *userdata, const OptionRow *row, const char *value, char **reterr); /* bool */
int option_set_bool(
                void *userdata, const OptionRow *row, const char *value, char **reterr); /* bool: yes|no */
int option_set_string(void *userdata, const OptionRow *row, const char *value,
                char **reterr); /* char *: last wins */
int option_set_once(void *userdata, const OptionRow *row, const char *value,
                char **reterr); /* char *: a second one is refused, where the first must not lose its effect */
int option_given_twice(char **reterr); /* -EINVAL and the message of that, for other handlers */
int option_set_word(void *userdata, const OptionRow *row, const char *value,
                char **reterr); /* char *: one of row->values, last wins */
int option_append(void *userdata, const OptionRow *row, const char *value,
                char **reterr); /* char **: repeatable */
int option_set_unsigned(
                void *userdata, const OptionRow *row, const char *value, char **reterr); /* unsigned */
/* For handlers: unsigned from `least` to `most`. */
int option_set_number(void *userdata, const OptionRow *row, const char *value, unsigned least, unsigned most,
                char **reterr);
int option_set_u64(void *userdata, const OptionRow *row, const char *value, char **reterr); /* uint64_t */
int option_set_usec(void *userdata, const OptionRow *row, const char *value,
                char **reterr); /* uint64_t: microseconds */
/* The same, and in days; at least a second, and once: zero is that the option was not given. */
int option_set_days(void *userdata, const OptionRow *row, const char *value, char **reterr);
int option_set_size(void *userdata, const OptionRow *row, const char *value,
                char **reterr); /* uint64_t: bytes */
