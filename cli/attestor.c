/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn attestor`: the launcher's child that holds keys or speaks to an attestation service; one JSON object a line on standard input
 * and output (attestor-protocol.h). */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attestor-protocol.h"
#include "error.h"
#include "log.h"
#include "owner-desk.h"
#include "secret.h"
#include "strutil.h"
#include "verb.h"

typedef struct Arguments {
        DeskArgs desk;
        VerbCommon common;
} Arguments;
static_assert(offsetof(Arguments, desk) == 0, "as its rows want it");

static const OptionRow rows[] = {
        DESK_ROWS,
        VERB_HELP_ROWS(Arguments, common),
};

static const OptionTable table = {
        .program = "cvmspawn attestor",
        .arguments = NULL,
        .summary = "Answers for the guest owner while a guest is launched: requests on standard input, "
                   "answers on "
                   "standard output, one JSON object a line.",
        .zone = "verifier",
        .epilog = "Exit status: 0 the requests ended, 1 usage or failure.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

static void arguments_done(Arguments *a) {
        desk_args_done(&a->desk);
}

static int run(int argc, char **argv, char **reterr) {
        AttestorChannel channel = { STDIN_FILENO, STDOUT_FILENO };
        const AttestorPatience patience = { attestor_channel_notice, attestor_channel_pause, &channel };
        _cleanup_(arguments_done) Arguments a = {};
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_attestor_ Attestor *attestor = NULL;
        int r;

        secret_forbid_core();
        desk_args_init(&a.desk);
        r = verb_parse(&table, argc, argv, &a, &a.common, &words, reterr);
        if (r != 0)
                return r < 0 ? r : 0;
        if (strv_length(words) > 0)
                return error_set(reterr, -EINVAL, "'%s': there are no arguments but options", words[0]);
        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        r = desk_attestor_new(&a.desk, &patience, &attestor, reterr);
        if (r >= 0 && a.desk.unverified)
                log_warning("the platform is not verified: whoever made its PDH will know the keys");
        return r < 0 ? r : attestor_serve(attestor, channel.in, channel.out, reterr);
}

int main(int argc, char **argv) {
        return verb_main(&table, argc, argv, run);
}
