/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn owner agent`: the launcher's child that holds keys or speaks to an attestation service; one JSON object per line on standard input
 * and output (owner-protocol.h). */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "log.h"
#include "owner-args.h"
#include "owner-protocol.h"
#include "owner-via.h"
#include "secret.h"
#include "strutil.h"
#include "verb.h"

typedef struct Arguments {
        OwnerArgs owner;
        OwnerVia via;
        bool check;
        VerbCommon common;
} Arguments;

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = {
        OWNER_ROWS,
        { "via", 0, OPTION_REQUIRED, "URL", "Relay",
                        "Answer hosts through the relay https://HOST/ID, as an attestation\nservice with its state in --owner-dir, until a signal",
                        NULL, option_set_once, AT(via.url), 0 },
        { "via-token-file", 0, OPTION_REQUIRED, "FILE", NULL, "Identify to the relay by this token", "@file",
                        option_set_once, AT(via.token_file), 0 },
        { "via-ca", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Trust these CA certificates (PEM) for the relay (default: the\nsystem's trust store)",
                        "@file", option_set_once, AT(via.ca_file), 0 },
        { "tls-cert", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Use this certificate chain (PEM) for ID.HOST, with hosts", "@file", option_set_once,
                        AT(via.tls_cert), 0 },
        { "tls-key", 0, OPTION_REQUIRED, "FILE", NULL, "Use this private key of it, PEM", "@file",
                        option_set_once, AT(via.tls_key), 0 },
        { "check", 0, OPTION_NONE, NULL, "Conduct", "Read the files that the options name, and exit", NULL,
                        option_set_true, AT(check), 0 },
        VERB_HELP_ROWS,
};

static const OptionRule rules[] = {
        OWNER_RULES,
        { "via", NULL, "attestation-service attestation-ca attestation-wait name inject-secret insecure-unverified-platform online cek-id generation kds downloads cache accept-unsigned-naples-ark oca check",
                        "registrations decide then" },
        { "via-token-file via-ca tls-cert tls-key", "via", NULL, NULL },
};

static const OptionTable table = {
        .program = "cvmspawn owner agent",
        .arguments = NULL,
        .summary = "Answer for the guest owner while a guest is launched: requests on standard input, answers on standard output, one JSON object per line; or through a relay, as an attestation service.",
        .zone = "verifier",
        .epilog = "Exit status: 0 the input ended, 1 usage error or failure.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

static void owner_agent_init(void *arguments) {
        owner_args_init(&((Arguments *) arguments)->owner);
}

static int owner_agent_run(void *arguments, char **words, char **reterr) {
        OwnerChannel channel = { STDIN_FILENO, STDOUT_FILENO };
        const OwnerPatience patience = { owner_channel_notice, owner_channel_pause, &channel };
        const Arguments *a = arguments;
        _cleanup_owner_ Owner *owner = NULL;
        int r;

        secret_forbid_core();
        if (strv_length(words) > 0)
                return error_set(reterr, -EINVAL, "'%s': unexpected argument; there are only options",
                                words[0]);
        if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        if (a->via.url)
                return owner_via(&a->via, &a->owner, reterr);
        r = owner_args_open(&a->owner, &patience, &owner, reterr);
        if (r < 0)
                return r;
        if (a->check) {
                r = platform_check_files(&a->owner.platform, reterr);
                return r < 0 || puts("{\"type\":\"checked\"}") >= 0 ? r : -EIO;
        }
        if (a->owner.unverified)
                log_warning("the platform is not verified: the party that made its PDH can compute the keys");
        return owner_serve(owner, channel.in, channel.out, reterr);
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(Arguments),
        .common = AT(common),
        .init = owner_agent_init,
        .run = owner_agent_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
