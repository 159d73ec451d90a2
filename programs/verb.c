/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "verb.h"

#include <errno.h>
#include <stdio.h>

#include "log.h"
#include "stdout.h"
#include "strutil.h"

int verb_parse(const OptionTable *table, int argc, char *const *argv, void *userdata,
                const VerbCommon *common, char ***ret_words, char **reterr) {
        int r = options_parse(table, argc, argv, userdata, ret_words, reterr);

        if (r != 0)
                return r;
        if (common->help)
                options_help_for(table, *ret_words ? **ret_words : NULL, stdout);
        else if (common->version)
                printf("cvmspawn %s\n", CVMSPAWN_VERSION);
        return common->help || common->version;
}

int verb_failed(int status, int r, char **reterr) {
        (void) log_failure(r, *reterr);
        return status;
}

/* Standard output, and the build's question: 1 if that was all. */
static int begin(const char *log_name, const OptionTable *table, int argc, char **argv) {
        int r;

        log_open(log_name, /* quiet= */ false);
        r = stdout_open();
        if (r < 0)
                return log_failure(r, "cannot open /dev/null"), r;
        return table && options_dump_requested(table, argc, argv);
}

static int end(int r, char **reterr) {
        r = stdout_finish(r, reterr);
        if (r < 0)
                (void) log_failure(r, *reterr);
        return r < 0 ? 1 : r;
}

static int run(const VerbProgram *p, void *arguments, int argc, char **argv, char **reterr) {
        _cleanup_strv_free_ char **words = NULL;
        int r;

        if (p->init)
                p->init(arguments);
        r = verb_parse(p->table, argc, argv, arguments,
                        (const VerbCommon *) ((const char *) arguments + p->common), &words, reterr);
        if (r == 0)
                return p->run(arguments, words, reterr);
        return r < 0 ? r : 0;
}

int verb_main(const VerbProgram *p, int argc, char **argv) {
        _cleanup_free_ void *arguments = calloc(1, p->size);
        _cleanup_free_ char *error = NULL;
        int r = begin(p->log_name ?: p->table->program, p->table, argc, argv);

        if (r < 0)
                return 1;
        if (r > 0)
                return end(0, &error);
        r = arguments ? run(p, arguments, argc, argv, &error) : -ENOMEM;
        if (arguments)
                options_free(p->table, arguments);
        return end(r, &error);
}

int verb_main_dialect(
                const char *name, const OptionTable *table, int argc, char **argv, DialectRun dialect) {
        _cleanup_free_ char *error = NULL;
        int r = begin(name, table, argc, argv);

        if (r < 0)
                return 1;
        return end(r > 0 ? 0 : dialect(argc, argv, &error), &error);
}
