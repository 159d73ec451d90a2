/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* `cvmspawn-attestd`: the guest owner's attestation service. Hosts request sessions and secrets; it answers as owners registered. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "attestd-journal.h"
#include "attestd.h"
#include "error.h"
#include "http-client.h"
#include "json.h"
#include "log.h"
#include "options.h"
#include "stdout.h"
#include "strutil.h"

#define RATE_DEFAULT 32u
#define WAIT_DEFAULT 10u

#define AT(member) offsetof(AttestdArgs, member)

static int set_crl(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        if (*(char **) ((char *) userdata + row->offset))
                return option_given_twice(reterr);
        return option_set_word(userdata, row, value, reterr);
}

static const OptionRow rows[] = {
        { "listen", 'l', OPTION_REQUIRED, "ADDRESS:PORT", "Service",
                        "Listen on this numeric address, or on unix:PATH (default:\n" ATTESTD_LISTEN_DEFAULT
                        "); a socket passed by the service manager\ntakes precedence",
                        NULL, option_set_once, AT(listen), 0 },
        { "tls-cert", 0, OPTION_REQUIRED, "FILE", NULL, "Use this certificate chain of the server, PEM",
                        "@file", option_set_string, AT(tls_cert), 0 },
        { "tls-key", 0, OPTION_REQUIRED, "FILE", NULL, "Use this private key of the server, PEM", "@file",
                        option_set_string, AT(tls_key), 0 },
        { "plain", 0, OPTION_NONE, NULL, NULL, "Speak HTTP without TLS, for a TLS proxy on this machine",
                        NULL, option_set_true, AT(plain), 0 },
        { "proxy-protocol", 0, OPTION_REQUIRED, "PROXY,...", NULL,
                        "Take the client's address from the PROXY header (v1 or v2) of\nthese TCP proxies (addresses, networks, or unix)",
                        NULL, option_set_once, AT(proxy_protocol), 0 },
        { "host-ca", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Require client certificates signed by these CAs (PEM) from\nhosts, not from owners",
                        "@file", option_set_string, AT(host_ca), 0 },
        { "metrics", 0, OPTION_REQUIRED, "ADDRESS:PORT", NULL,
                        "Listen on this loopback address, or on unix:PATH, for\nmonitoring: /metrics, /healthz and /readyz, without TLS",
                        NULL, option_set_once, AT(metrics), 0 },
        { "via", 0, OPTION_REQUIRED, "URL", NULL,
                        "Let hosts connect through the relay https://HOST/ID, too: this\nservice keeps a connection to it",
                        NULL, option_set_string, AT(via), 0 },
        { "via-token-file", 0, OPTION_REQUIRED, "FILE", NULL, "Identify to the relay by this token", "@file",
                        option_set_string, AT(via_token), 0 },
        { "via-ca", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Trust these CA certificates (PEM) for the relay (default: the\nsystem's trust store)",
                        "@file", option_set_string, AT(via_ca), OPTION_RARE },
        { "prefix", 0, OPTION_REQUIRED, "PATH", NULL, "Expect this prefix of all paths, as in /attest", NULL,
                        option_set_string, AT(prefix), 0 },
        { "rate", 0, OPTION_REQUIRED, "N", NULL,
                        "Limit launch and validate requests per second, registration\nand client address (default: 32, 0 = unlimited); excess\nrequests get status 429",
                        NULL, option_set_unsigned, AT(rate), 0 },
        { "state", 's', OPTION_REQUIRED, "DIR", "State",
                        "Keep the database in this directory (default:\n/var/lib/cvmspawn-attestd)", "@dir",
                        option_set_string, AT(state), 0 },
        { "store", 0, OPTION_REQUIRED, "URL", NULL,
                        "Keep the database at postgresql://HOST/DATABASE, which other\ninstances of the service use too, or at sqlite:/PATH\n(default: state.db in the state directory)",
                        NULL, option_set_string, AT(store), 0 },
        { "secrets-key", 0, OPTION_REQUIRED, "KEY", NULL,
                        "Encrypt the secrets with this file of 32 bytes, or with a\nPKCS#11 token's RSA key by its pkcs11: URI (default: the\ncredential secrets-key, else secrets.key in the state\ndirectory)",
                        "@file", option_set_string, AT(secrets_key), 0 },
        { "rotate-key", 0, OPTION_REQUIRED, "KEY", NULL,
                        "Encrypt all secrets with this new key and exit (a missing\nfile is created; --secrets-key= is the old one)",
                        "@file", option_set_string, AT(rotate_key), 0 },
        { "rotate-wait", 0, OPTION_REQUIRED, "SECONDS", NULL,
                        "Leave services this time to take the new key (default: 10)", NULL,
                        option_set_unsigned, AT(rotate_wait), 0 },
        { "check-store", 0, OPTION_NONE, NULL, NULL, "Check that every secret can be decrypted, and exit",
                        NULL, option_set_true, AT(check_store), 0 },
        { "audit", 0, OPTION_NONE, NULL, NULL, "Verify the audit trail, print it as JSON lines, and exit",
                        NULL, option_set_true, AT(audit), 0 },
        { "migrate-from", 0, OPTION_REQUIRED, "sqlite:PATH", NULL,
                        "Put all rows of this database into an empty --store=, and\nexit", NULL,
                        option_set_string, AT(migrate_from), 0 },
        { "add-owner", 0, OPTION_REQUIRED, "NAME", NULL, "Add a guest owner and exit", NULL,
                        option_set_string, AT(add_owner), 0 },
        { "token-file", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Write the owner's token to this new file, with --add-owner", "@file",
                        option_set_string, AT(token_file), 0 },
        { "owner-cert", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Identify the owner by this TLS client certificate (PEM)\ninstead of a token, with --add-owner",
                        "@file", option_set_string, AT(owner_cert), 0 },
        { "answer", 0, OPTION_REQUIRED, "METHOD PATH", "Without a network",
                        "Answer this one request, with its body on standard input,\nand exit", NULL,
                        option_set_string, AT(answer), 0 },
        { "as", 0, OPTION_REQUIRED, "NAME", NULL, "Act for this owner, with --answer (default: local)", NULL,
                        option_set_string, AT(as), 0 },
        { "certs", 0, OPTION_REQUIRED, "FILE", "Platforms",
                        "Use AMD's ask_ark file of a generation, for hosts that do not\nsend it; repeatable",
                        "@file", option_append, AT(certs), 0 },
        { "cek-store", 0, OPTION_REQUIRED, "DIR", NULL,
                        "Keep signed CEKs (cek-ID.cert) in this directory, as\n'cvmspawn cert-chain' does",
                        "@dir", option_set_string, AT(cek_store), 0 },
        { "online", 0, OPTION_NONE, NULL, NULL,
                        "Download missing certificates from AMD, and statements from\nIntel, in a separate process",
                        NULL, option_set_true, AT(online), 0 },
        { "kds", 0, OPTION_REQUIRED, "URL", NULL,
                        "Use this instead of AMD's key service\n(https://kdsintf.amd.com)", NULL,
                        option_set_string, AT(kds_url), 0 },
        { "pcs", 0, OPTION_REQUIRED, "URL", NULL,
                        "Use this instead of Intel's PCS\n(https://api.trustedservices.intel.com)", NULL,
                        option_set_string, AT(pcs_url), 0 },
        { "snp-certs", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Add AMD\'s X.509 certificates for SEV-SNP (ASK, ARK, VCEK; PEM\nor DER) that guests need not send; repeatable",
                        "@file", option_append, AT(snp_certs), 0 },
        { "kds-cache", 0, OPTION_REQUIRED, "DIR", NULL,
                        "Keep certificates for SEV-SNP and statements for TDX in this\ndirectory, as 'cvmspawn report --cache=' does",
                        "@dir", option_set_string, AT(kds_cache), 0 },
        { "tdx-collateral", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Add Intel\'s TCB info, QE identity, issuer chain or revocation\nlists for TDX; repeatable",
                        "@file", option_append, AT(tdx_collateral), 0 },
        { "crl", 0, OPTION_REQUIRED, "MODE", NULL,
                        "Check revocation lists for SEV-SNP and TDX: if-available\n(default), required or off; --online downloads AMD's",
                        "if-available required off", set_crl, AT(crl), OPTION_STRING },
        { "no-platform-cache", 0, OPTION_NONE, NULL, NULL,
                        "Verify a platform's certificate chain on every request", NULL, option_set_true,
                        AT(no_cache), 0 },
        { "insecure-root", 0, OPTION_REQUIRED, "FILE", "Dangerous",
                        "Trust this ARK instead of AMD's, for simulated platforms", "@file",
                        option_set_string, AT(insecure_root), 0 },
        { "insecure-snp-root", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Trust this ARK (X.509) instead of AMD's for SEV-SNP", "@file", option_set_string,
                        AT(insecure_snp_root), 0 },
        { "insecure-tdx-root", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Trust this root certificate instead of Intel's for TDX", "@file", option_set_string,
                        AT(insecure_tdx_root), 0 },
        { "dev", 0, OPTION_NONE, NULL, NULL,
                        "Run a trial on this machine, with a throw-away CA and an\n"
                        "owner's token in the state directory",
                        NULL, option_set_true, AT(dev), 0 },
        { "help", 'h', OPTION_NONE, NULL, NULL, "Show this help", NULL, option_set_true, AT(help), 0 },
};

static const OptionRule rules[] = {
        { "token-file owner-cert", "add-owner", NULL, NULL },
        { "token-file", NULL, "owner-cert", "an owner has one of them" },
        { "as", "answer", NULL, NULL },
        { "add-owner answer", NULL,
                        "listen tls-cert tls-key plain proxy-protocol host-ca metrics via via-token-file via-ca rate online dev",
                        "no service is started then" },
        { "add-owner", NULL,
                        "answer certs cek-store kds pcs snp-certs kds-cache crl no-platform-cache tdx-collateral insecure-root insecure-snp-root insecure-tdx-root prefix",
                        "it only adds an owner" },
        { "rotate-key check-store audit migrate-from", NULL,
                        "add-owner answer listen tls-cert tls-key plain proxy-protocol host-ca metrics via via-token-file via-ca rate online dev certs cek-store kds pcs snp-certs kds-cache crl no-platform-cache tdx-collateral insecure-root insecure-snp-root insecure-tdx-root prefix",
                        "it only works on the database" },
        { "rotate-key", NULL, "check-store audit migrate-from", "they work on the same database" },
        { "rotate-wait", "rotate-key", NULL, NULL },
        { "check-store", NULL, "audit", "one thing at a time" },
        { "migrate-from", NULL, "check-store audit secrets-key", "nothing is decrypted" },
        { "via", "via-token-file", NULL, NULL },
        { "via-token-file via-ca", "via", NULL, NULL },
        { "via", NULL, "plain", "TLS begins in the service, not in a proxy" },
        { "plain", NULL, "host-ca tls-cert tls-key", "without TLS there are no certificates" },
        { "tls-cert", "tls-key", NULL, NULL },
        { "tls-key", "tls-cert", NULL, NULL },
        { "kds", "online", NULL, NULL },
        { "pcs", "online", NULL, NULL },
};

static const OptionTable table = {
        .program = "cvmspawn-attestd",
        .summary = "Release secrets to SEV, SEV-ES, SEV-SNP and TDX guests whose launch is registered.",
        .zone = "verifier",
        .epilog = "Exit status: 0 stopped by a signal, owner added, or request granted; 1 usage error or failure; 2 damaged rows found; 3 request refused.",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

static int check_directory(const char *option, const char *path, char **reterr) {
        struct stat st;

        if (!path)
                return 0;
        if (stat(path, &st) < 0)
                return error_set(reterr, -errno, "%s: cannot use '%s': %s", option, path, strerror(errno));
        return S_ISDIR(st.st_mode)
                        ? 0
                        : error_set(reterr, -ENOTDIR, "%s: '%s' is not a directory", option, path);
}

/* What goes beyond single options, before anything is created. */
static int check_arguments(AttestdArgs *a, char **reterr) {
        int r;

        if (a->add_owner && !a->token_file && !a->owner_cert)
                return error_set(reterr, -EINVAL,
                                "--add-owner= requires either --token-file= or --owner-cert=");
        if (a->add_owner && !*a->add_owner)
                return error_set(reterr, -EINVAL, "--add-owner: the name is empty");
        if (a->prefix && (a->prefix[0] != '/' || endswith(a->prefix, "/")))
                return error_set(reterr, -EINVAL, "--prefix: expected a path like /attest, not '%s'",
                                a->prefix);
        if (a->online && !a->cek_store && !a->kds_cache)
                return error_set(reterr, -EINVAL,
                                "--online requires --cek-store=DIR or --kds-cache=DIR, to store what it downloads");
        if (a->kds_url && !http_url_valid(a->kds_url))
                return error_set(reterr, -EINVAL,
                                "--kds: expected https://..., http://... or unix:/SOCKET, not '%s'",
                                a->kds_url);
        if (a->pcs_url && !http_url_valid(a->pcs_url))
                return error_set(reterr, -EINVAL,
                                "--pcs: expected https://..., http://... or unix:/SOCKET, not '%s'",
                                a->pcs_url);
        if (a->crl && streq(a->crl, "required") && !a->kds_cache && !a->snp_certs && !a->tdx_collateral)
                return error_set(reterr, -EINVAL,
                                "--crl=required needs --kds-cache=DIR, --snp-certs=FILE or --tdx-collateral=FILE: without revocation lists no guest gets its secrets");
        r = a->proxy_protocol ? proxy_sources_parse(a->proxy_protocol, &a->proxies, reterr) : 0;
        if (r < 0)
                return error_prefix(reterr, r, "--proxy-protocol");
        r = check_directory("--cek-store", a->cek_store, reterr);
        return r < 0 ? r : check_directory("--kds-cache", a->kds_cache, reterr);
}

static void warn_of_root(const char *path, const char *vendor) {
        if (path)
                journal_log(LOG_LEVEL_WARNING, &(JournalFields) { .id = MESSAGE_TRUSTS_OTHERS },
                                "trusting '%s' instead of %s: anybody who has its private key can read the secrets",
                                path, vendor);
}

static int attestd_run(int argc, char **argv, AttestdArgs *a, int *ret_status, char **reterr) {
        _cleanup_(attestd_world_done) AttestdWorld w = {};
        _cleanup_(attestd_fetch_done) AttestdFetch fetch = ATTESTD_FETCH_NONE;
        _cleanup_(attestd_via_done) AttestdVia via = ATTESTD_VIA_NONE;
        _cleanup_strv_free_ char **words = NULL;
        int r;

        r = options_parse(&table, argc, argv, a, &words, reterr);
        if (r < 0)
                return r;
        if (a->help) {
                options_help(&table, stdout);
                return 0;
        }
        if (strv_length(words) > 0)
                return error_set(reterr, -EINVAL, "unexpected argument '%s'", words[0]);
        r = check_arguments(a, reterr);
        if (r < 0)
                return r;
        if (a->online) {
                r = attestd_fetch_start(a, &fetch, reterr);
                if (r < 0)
                        return r;
        }
        if (a->via) {
                r = attestd_via_start(a, &via, reterr);
                if (r < 0)
                        return r;
        }
        r = attestd_world_open(a, &w, reterr);
        if (r < 0)
                return r;
        w.via = &via;
        if (a->rotate_key)
                return attestd_rotate_key(a, &w, reterr);
        if (a->check_store)
                return attestd_check_store(&w, ret_status, reterr);
        if (a->audit)
                return attestd_audit(&w, ret_status, reterr);
        if (a->migrate_from)
                return attestd_migrate(a, &w, reterr);
        if (a->add_owner && a->owner_cert)
                return attestd_add_owner_certificate(&w, a->add_owner, a->owner_cert, reterr);
        if (a->add_owner)
                return attestd_add_owner(&w, a->add_owner, a->token_file, reterr);
        warn_of_root(a->insecure_root, "AMD");
        warn_of_root(a->insecure_snp_root, "AMD");
        warn_of_root(a->insecure_tdx_root, "Intel");
        if (a->answer)
                return attestd_answer(a, &w, ret_status, reterr);
        if (fetch.fd >= 0) {
                w.service.fetch = attestd_fetch_ask;
                w.service.fetch_data = &fetch;
        }
        return attestd_serve(a, &w, reterr);
}

int main(int argc, char **argv) {
        AttestdArgs a = { .rate = RATE_DEFAULT, .rotate_wait = WAIT_DEFAULT };
        _cleanup_free_ char *error = NULL;
        int r, status = 0;

        secret_forbid_core();
        log_open("cvmspawn-attestd", /* quiet= */ false);
        journal_open();
        js_erase_memory();
        (void) signal(SIGPIPE, SIG_IGN);
        r = stdout_open();
        if (r < 0)
                return log_failure(r, "cannot open /dev/null"), 1;
        if (!options_dump_requested(&table, argc, argv))
                r = attestd_run(argc, argv, &a, &status, &error);
        options_free(&table, &a);
        r = stdout_finish(r, &error);
        if (r < 0)
                return (void) log_failure(r, error), 1;
        return status;
}
