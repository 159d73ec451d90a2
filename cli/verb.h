/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the verbs' programs have in common: main()'s frame, and the options --json[=STYLE], --help and --version.
 *
 *     static const OptionRow rows[] = { ..., VERB_ROWS("Output", Arguments, common) };
 *     r = verb_parse(&table, argc, argv, &a, &a.common, &words, reterr);
 *     int main(int argc, char **argv) { return verb_main(&table, argc, argv, run); } */

#include <stdbool.h>

#include "json.h"
#include "options.h"

typedef struct VerbCommon {
        bool help, version;
        bool json;
        JsStyle style;
} VerbCommon;

/* Bare --json is short: one line, as measure prints it. `field` is the VerbCommon in the program's own structure. */
#define VERB_HELP_ROWS(type, field)                                                                         \
        { .name = "help",                                                                                   \
                .letter = 'h',                                                                              \
                .help = "shows this text",                                                                  \
                .handler = option_set_true,                                                                 \
                .offset = offsetof(type, field.help) },                                                     \
        {                                                                                                   \
                .name = "version", .help = "shows the version", .handler = option_set_true,                 \
                .offset = offsetof(type, field.version)                                                     \
        }
#define VERB_ROWS(heading, type, field)                                                                     \
        { .name = "json",                                                                                   \
                .arg = OPTION_OPTIONAL,                                                                     \
                .metavar = "STYLE",                                                                         \
                .group = heading,                                                                           \
                .help = "JSON: short (default), pretty or off",                                             \
                .values = "short pretty off",                                                               \
                .handler = verb_set_json,                                                                   \
                .offset = offsetof(type, field) },                                                          \
                        VERB_HELP_ROWS(type, field)

int verb_set_json(void *userdata, const OptionRow *row, const char *value, char **reterr);
/* options_parse(), and then --help and --version: 1 if that was all that was asked for. */
_warn_unused_result_ int verb_parse(const OptionTable *table, int argc, char *const *argv, void *userdata,
                const VerbCommon *common, char ***ret_words, char **reterr);
_warn_unused_result_ int verb_print_json(const Json *j, JsStyle style);

/* For a failure that has an exit status of its own: says the sentence and returns that status, for VerbRun to return. */
int verb_failed(int status, int r, char **reterr);

typedef int (*VerbRun)(int argc, char **argv, char **reterr);

/* Opens the log under the table's name, answers the build's question for the table, runs, and sees to it that what was printed has
 * arrived. The exit status: what `run` returned, or 1 with its sentence on standard error. */
int verb_main(const OptionTable *table, int argc, char **argv, VerbRun run);
