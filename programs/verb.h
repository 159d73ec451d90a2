/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the verbs' programs have in common: main()'s frame, and the options --json[=STYLE], --help and --version.
 *
 *     #define AT(member) offsetof(Arguments, member)
 *     static const OptionRow rows[] = { ..., VERB_ROWS("Output") };
 *     static const VerbProgram program = { .table = &table, .size = sizeof(Arguments), .common = AT(common), .run = session_run };
 *     int main(int argc, char **argv) { return verb_main(&program, argc, argv); } */

#include <stdbool.h>

#include "json.h"
#include "options.h"

typedef struct VerbCommon {
        bool help, version;
        bool json;
        JsStyle style;
} VerbCommon;

/* AT() is the program's own: where a member of its structure is. The VerbCommon is called common there. */
#define VERB_HELP_ROWS                                                                                      \
        { "help", 'h', OPTION_NONE, NULL, NULL, "Show this help", NULL, option_set_true, AT(common.help),   \
                0 },                                                                                        \
        {                                                                                                   \
                "version", 0, OPTION_NONE, NULL, NULL, "Show the version", NULL, option_set_true,           \
                                AT(common.version), 0                                                       \
        }
#define VERB_ROWS(heading)                                                                                  \
        { "json", 0, OPTION_OPTIONAL, "STYLE", heading, OPTION_JSON_HELP, OPTION_JSON_VALUES,               \
                verb_set_json, AT(common), 0 },                                                             \
                        VERB_HELP_ROWS

int verb_set_json(void *userdata, const OptionRow *row, const char *value, char **reterr);
/* options_parse(), and then --help and --version: 1 if that was all that was asked for. */
_warn_unused_result_ int verb_parse(const OptionTable *table, int argc, char *const *argv, void *userdata,
                const VerbCommon *common, char ***ret_words, char **reterr);
_warn_unused_result_ int verb_print_json(const Json *j, JsStyle style);

/* For a failure with a separate exit status: prints the error message and returns that status, for a run function to return. */
int verb_failed(int status, int r, char **reterr);

/* `arguments` is the program's structure as its table filled it; the table's strings in it are freed by the frame. words: or NULL. */
typedef int (*VerbRun)(void *arguments, char **words, char **reterr);

typedef struct VerbProgram {
        const OptionTable *table;
        const char *log_name;          /* NULL: the table's */
        size_t size;                   /* of the structure that the options fill; it begins as zeros */
        size_t common;                 /* where its VerbCommon is */
        void (*init)(void *arguments); /* defaults, before the command line is read; or NULL */
        VerbRun run;
} VerbProgram;

/* Opens the log, answers the build's question for the table, parses, runs, and sees to it that what was printed has arrived. The exit
 * status: what `run` returned, or 1 with its error message on standard error. */
int verb_main(const VerbProgram *program, int argc, char **argv);

/* The same for a dialect that reads argv itself. table: NULL, it also answers the build's question itself. */
typedef int (*DialectRun)(int argc, char **argv, char **reterr);
int verb_main_dialect(const char *name, const OptionTable *table, int argc, char **argv, DialectRun run);
