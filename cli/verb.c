/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "verb.h"

#include <errno.h>
#include <stdio.h>

#include "error.h"
#include "log.h"

int verb_parse(const OptionTable *table, int argc, char *const *argv, void *userdata,
                const VerbCommon *common, char ***ret_words, char **reterr) {
        int r = options_parse(table, argc, argv, userdata, ret_words, reterr);

        if (r != 0)
                return r;
        if (common->help)
                options_help(table, stdout);
        else if (common->version)
                printf("cvmspawn %s\n", CVMSPAWN_VERSION);
        return common->help || common->version;
}

int verb_failed(int status, int r, char **reterr) {
        (void) log_failure(r, *reterr);
        return status;
}

int verb_main(const OptionTable *table, int argc, char **argv, VerbRun run) {
        _cleanup_free_ char *error = NULL;
        int r;

        log_open(table->program, /* quiet= */ false);
        if (options_dump_requested(table, argc, argv))
                return 0;
        r = run(argc, argv, &error);
        if (r >= 0 && fflush(stdout) != 0)
                r = error_set(&error, -EIO, "cannot write the result");
        if (r < 0)
                (void) log_failure(r, error);
        return r < 0 ? 1 : r;
}
