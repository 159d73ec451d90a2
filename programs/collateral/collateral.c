/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn-collateral`: a mirror of AMD's key service and Intel's PCS. Verifiers ask it in place of the vendors; it asks them once. */

#include "collateral.h"

#include <errno.h>

#include "error.h"
#include "http-client.h"
#include "log.h"
#include "strutil.h"

#define SECOND UINT64_C(1000000)

#define AT(member) offsetof(CollateralArgs, member)

static const OptionRow rows[] = {
        { "listen", 'l', OPTION_REQUIRED, "ADDRESS", "Mirror",
                        "Listen on unix:PATH, or on a loopback ADDRESS:PORT; repeatable\n(default: unix:/run/cvmspawn-collateral/kds.sock); sockets\npassed by the service manager take precedence",
                        NULL, option_append, AT(listen), 0 },
        { "kds", 0, OPTION_REQUIRED, "URL", NULL,
                        "Use this instead of AMD's key service\n(https://kdsintf.amd.com)", NULL,
                        option_set_string, AT(kds_url), 0 },
        { "pcs", 0, OPTION_REQUIRED, "URL", NULL,
                        "Use this instead of Intel's PCS\n(https://api.trustedservices.intel.com)", NULL,
                        option_set_string, AT(pcs_url), 0 },
        { "interval", 0, OPTION_REQUIRED, "TIME", NULL,
                        "Leave this time between two downloads from AMD (default: 10s)", NULL,
                        option_set_usec, AT(interval), 0 },
        { "patience", 0, OPTION_REQUIRED, "TIME", NULL,
                        "Let clients wait this long for a download before they are\ntold to ask again (default: 15s)",
                        NULL, option_set_usec, AT(patience), 0 },
        { "refresh", 0, OPTION_REQUIRED, "TIME", NULL,
                        "Download lists and statements again after this time\n(default: 24h)", NULL,
                        option_set_usec, AT(refresh), 0 },
        { "grace", 0, OPTION_REQUIRED, "TIME", NULL,
                        "Give out lists and statements whose update is overdue by\nthis time, marked as stale (default: 24h)",
                        NULL, option_set_usec, AT(grace), 0 },
        { "prefetch", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Download the addresses in this file, one in a line, when\nnobody waits; repeatable",
                        "@file", option_append, AT(prefetch), 0 },
        { "offline", 0, OPTION_NONE, NULL, NULL, "Never download: only what was imported", NULL,
                        option_set_true, AT(offline), 0 },
        { "cache", 0, OPTION_REQUIRED, "DIR", "Cache",
                        "Keep certificates and lists in this directory (default:\n$STATE_DIRECTORY, else /var/lib/cvmspawn-collateral)",
                        "@dir", option_set_string, AT(cache), 0 },
        { "sign-key", 0, OPTION_REQUIRED, "FILE", "Bundles",
                        "Sign the list of a bundle's files with this private key:\nEd25519, P-256 or P-384 in PEM, or a pkcs11: URI; repeatable",
                        "@file", option_append, AT(sign_keys), 0 },
        { "signer", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Require a signature by this public key, over exactly the files\nof the bundle; repeatable",
                        "@file", option_append, AT(signers), 0 },
        { "max-age", 0, OPTION_REQUIRED, "TIME", NULL,
                        "Require that the bundle was signed within this time: 30d, 12h", NULL,
                        option_set_days, AT(max_age), 0 },
        { "insecure-root", 0, OPTION_REQUIRED, "FILE", "Dangerous",
                        "Trust this ARK (X.509) instead of AMD's, for simulated machines", "@file",
                        option_set_string, AT(insecure_root), 0 },
        { "insecure-tdx-root", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Trust this root instead of Intel's, for simulated machines", "@file",
                        option_set_string, AT(insecure_tdx_root), 0 },
        VERB_ROWS("Output"),
};

#define CACHE "cache insecure-root insecure-tdx-root "

static const OptionCommand commands[] = {
        { "serve", NULL, "Answer like AMD's key service and Intel's PCS",
                        CACHE "listen kds pcs interval patience refresh grace prefetch offline" },
        { "list", NULL, "List what is in the cache", CACHE "json" },
        { "export", "FILE", "Write what is in the cache to a bundle (-: standard output)",
                        CACHE "sign-key" },
        { "import", "FILE", "Add what is in a bundle (-: standard input) once verified",
                        CACHE "signer max-age" },
};

static const OptionRule rules[] = {
        { "offline", NULL, "kds pcs interval refresh prefetch", "nothing is downloaded then" },
        { "max-age", "signer", NULL, "nobody else says when the bundle was made" },
};

static const OptionTable table = {
        .program = "cvmspawn-collateral",
        .arguments = "COMMAND [FILE]",
        .summary = "Keep and serve AMD's certificates and revocation lists for SEV-SNP, and Intel's statements for TDX.",
        .zone = "verifier",
        .epilog = "Exit status: 0 success, or stopped by a signal; 1 usage error or failure; 2 the bundle holds something that is not AMD's or Intel's, or is not what its signers signed; 3 older than --max-age.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .commands = commands,
        .n_commands = ELEMENTSOF(commands),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

static void init(void *arguments) {
        CollateralArgs *a = arguments;

        a->interval = 10 * SECOND;
        a->patience = 15 * SECOND;
        a->refresh = a->grace = 24 * 3600 * SECOND;
}

static int check_url(const char *option, const char *url, char **reterr) {
        return !url || http_url_valid(url)
                        ? 0
                        : error_set(reterr, -EINVAL,
                                          "--%s: expected https://..., http://... or unix:/SOCKET, not '%s'",
                                          option, url);
}

static int run(void *arguments, char **words, char **reterr) {
        CollateralArgs *a = arguments;
        bool file;
        int r;

        if (!words)
                return error_set(reterr, -EINVAL,
                                "expected a command: serve, list, export or import, see --help");
        file = streq(words[0], "export") || streq(words[0], "import");
        if (strv_length(words) != (file ? 2u : 1u))
                return error_set(reterr, -EINVAL, "%s: expected %s", words[0],
                                file ? "one file" : "no arguments");
        r = check_url("kds", a->kds_url, reterr);
        if (r >= 0)
                r = check_url("pcs", a->pcs_url, reterr);
        if (r < 0)
                return r;
        if (streq(words[0], "serve"))
                return collateral_serve(a, reterr);
        if (streq(words[0], "list"))
                return collateral_list(a, reterr);
        if (streq(words[0], "export"))
                return collateral_export(a, words[1], reterr);
        r = collateral_import(a, words[1], reterr);
        return r == -EKEYREJECTED ? verb_failed(2, r, reterr) : r == -ETIME ? verb_failed(3, r, reterr) : r;
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(CollateralArgs),
        .common = AT(common),
        .init = init,
        .run = run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
