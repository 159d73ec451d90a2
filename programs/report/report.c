/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn report: shows SNP attestation reports and TDX quotes, and verifies them up to the vendors' pinned root keys. */

#include "report.h"

#include <errno.h>
#include <stdio.h>

#include "error.h"
#include "strutil.h"
#include "td-tcb.h"

#define AT(member) offsetof(ReportArguments, member)

static const OptionRow rows[] = {
        { "leaf", 0, OPTION_REQUIRED, "FILE", "Certificates (verify)",
                        "Use this VCEK or VLEK that signed the report, PEM or DER", "@file", option_append,
                        AT(leaf), 0 },
        { "ca", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Add intermediate and root certificates or a revocation list,\nPEM or DER; repeatable",
                        "@file", option_append, AT(ca), 0 },
        { "certs", 0, OPTION_REQUIRED, "DIR", NULL,
                        "Look for certificates in this directory, file or certificate\ntable, PEM or DER; repeatable",
                        "@file", option_append, AT(certs), 0 },
        { "offline", 0, OPTION_NONE, NULL, NULL, "Download nothing; the cache is used", NULL,
                        option_set_true, AT(offline), 0 },
        { "cache", 0, OPTION_REQUIRED, "DIR", NULL, "Keep what was downloaded here; empty: nowhere", "@dir",
                        option_set_string, AT(cache), 0 },
        { "kds", 0, OPTION_REQUIRED, "URL", NULL,
                        "Use this instead of AMD's key service (https://kdsintf.amd.com)", NULL,
                        option_set_string, AT(kds_url), 0 },
        { "pcs", 0, OPTION_REQUIRED, "URL", NULL, "Use this instead of Intel's PCS, for TDX quotes", NULL,
                        option_set_string, AT(pcs_url), 0 },
        { "crl", 0, OPTION_REQUIRED, "MODE", NULL,
                        "Check the revocation list: if-available (default), required or\noff",
                        "if-available required off", option_set_once, AT(crl), 0 },
        { "time", 0, OPTION_REQUIRED, "DATE", NULL,
                        "Verify as of 2026-01-31, 2026-01-31T12:00:00Z or @SECONDS", NULL, option_set_once,
                        AT(time), 0 },
        { "generation", 0, OPTION_REQUIRED, "NAME", NULL,
                        "Name the processor generation, where the report does not", SNP_GENERATION_NAMES,
                        option_set_once, AT(generation), 0 },
        { "collateral", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Use Intel's TCB info, QE identity, issuer chains and revocation\nlists, or a bundle of them, for TDX quotes; repeatable",
                        "@file", option_append, AT(collateral), 0 },
        { "measurement", 0, OPTION_REQUIRED, "HEX", "Policy (verify)",
                        "Expect this launch digest (TDX: MRTD); repeatable: any of them", NULL,
                        option_append, AT(measurements), 0 },
        { "expect", 0, OPTION_REQUIRED, "NAME:HEX", NULL,
                        "Expect this of a TDX guest: rtmr0 to rtmr3, mrconfigid, mrowner,\nmrownerconfig, mrseam or xfam; NAME:any waives it; repeatable",
                        NULL, option_append, AT(expect), 0 },
        { "tcb-status", 0, OPTION_REQUIRED, "NAME", NULL,
                        "Accept this TCB status of a TDX machine beside UpToDate;\nrepeatable",
                        TD_STATUS_NAMES, option_append, AT(tcb_status), 0 },
        { "reference", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Expect any launch of this bundle of 'cvmspawn refs', or digest of\nthis table of 'cvmspawn measure --json'; repeatable",
                        "@file", option_append, AT(references), 0 },
        { "reference-key", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Require that bundles and tables are signed (DSSE) by this public\nkey", "@file",
                        option_set_once, AT(reference_key), 0 },
        { "report-data", 0, OPTION_REQUIRED, "HEX", NULL,
                        "Expect these 64 bytes, which the guest put into the report", NULL, option_append,
                        AT(report_data), 0 },
        { "bound-to", 0, OPTION_REQUIRED, "FILE", NULL, "Expect the SHA-512 of this file as report data",
                        "@file", option_set_once, AT(bound_to), 0 },
        { "host-data", 0, OPTION_REQUIRED, "HEX", NULL,
                        "Expect these 32 bytes, which the host gave at launch", NULL, option_append,
                        AT(host_data), 0 },
        { "allow-debug", 0, OPTION_NONE, NULL, NULL, "Accept a guest that its host may debug", NULL,
                        option_set_true, AT(allow_debug), 0 },
        { "allow-migration-agent", 0, OPTION_NONE, NULL, NULL,
                        "Accept a guest that an agent of the host's choice may migrate and read", NULL,
                        option_set_true, AT(allow_migration_agent), 0 },
        { "allow-host-credentials", 0, OPTION_NONE, NULL, NULL,
                        "Accept a TDX guest whose reference does not say that it ignores\ncredentials of its host",
                        NULL, option_set_true, AT(allow_host_credentials), 0 },
        { "vmpl", 0, OPTION_REQUIRED, "N", NULL,
                        "Expect this privilege level of the reporter: 0 (default) to 3,\nor any",
                        "0 1 2 3 any", option_set_once, AT(vmpl), 0 },
        { "policy", 0, OPTION_REQUIRED, "FILE", NULL, "Read a policy file (JSON); options add to it",
                        "@file", option_set_once, AT(policy), 0 },
        { "insecure-any-measurement", 0, OPTION_NONE, NULL, "Dangerous (verify)",
                        "Accept every guest on the machine", NULL, option_set_true, AT(any_measurement), 0 },
        { "insecure-any-report-data", 0, OPTION_NONE, NULL, NULL,
                        "Accept old reports and reports about others' keys", NULL, option_set_true,
                        AT(any_report_data), 0 },
        { "insecure-root", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Trust this root (PEM or DER) instead of AMD's or Intel's, for\nsimulated machines",
                        "@file", option_set_once, AT(insecure_root), 0 },
        VERB_ROWS("Output"),
        { "field", 0, OPTION_REQUIRED, "NAME", NULL, "Show one field, bare (measurement: hex)",
                        "measurement report-data host-data chip-id policy version", option_set_string,
                        AT(field), 0 },
        { "format", 0, OPTION_REQUIRED, "NAME", NULL,
                        "Print words; show: or snpguest's layout; verify: or an EAT\nAttestation Result (ear)",
                        "words snpguest ear", option_set_word, AT(format), 0 },
        { "html", 0, OPTION_NONE, NULL, NULL, "Print one self-contained HTML page (verify)", NULL,
                        option_set_true, AT(html), 0 },
        { "sign-key", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Sign the attestation result with this private key (Ed25519, P-256\nor P-384 in PEM), as a JWT",
                        "@file", option_set_string, AT(sign_key), 0 },
};

static const OptionCommand commands[] = {
        { "show", "REPORT", "Show the fields of a report, or of an Intel TDX quote",
                        "generation json field format" },
        { "verify", "REPORT... [-- MEASURE OPTIONS...]",
                        "Verify reports and quotes up to the vendors' pinned root keys",
                        "leaf ca certs offline cache kds pcs crl time generation collateral measurement expect"
                        " tcb-status reference"
                        " reference-key report-data bound-to host-data allow-debug allow-migration-agent allow-host-credentials vmpl"
                        " policy insecure-any-measurement insecure-any-report-data insecure-root json format sign-key html" },
};

static const OptionRule rules[] = {
        { "field", NULL, "format json", "each is a way to print" },
        { "format", NULL, "json html", "each is a way to print" },
        { "html", NULL, "json", "each is a way to print" },
        { "sign-key", "format", NULL, "it signs what --format=ear prints" },
        { "offline", NULL, "kds pcs", "nothing is downloaded then" },
        { "reference-key", "reference", NULL, "it verifies their signatures" },
};

static const OptionTable table = {
        .program = "cvmspawn report",
        .summary = "Show an SEV-SNP attestation report or an Intel TDX quote, or verify it up to the vendor's pinned root key.",
        .zone = "verifier",
        .epilog = "A report is the bare 1184 bytes, the same followed by a certificate table, Azure's HCL report, or a\n"
                  "directory with outblob and auxblob; a quote is Intel's version 4 or 5. Exit status of verify: 0 verified, 1 usage or internal error,\n"
                  "2 not authentic, 3 policy not met, 4 a certificate or list is not available; of several reports the worst.\n"
                  "See cvmspawn-report(1).\n",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .commands = commands,
        .n_commands = ELEMENTSOF(commands),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

static int report_run(void *arguments, char **words, char **reterr) {
        return streq(words[0], "show") ? report_show(arguments, words + 1, reterr)
                                       : report_verify(arguments, words + 1, reterr);
}

static const VerbProgram program = {
        .table = &table,
        .size = sizeof(ReportArguments),
        .common = AT(common),
        .run = report_run,
};

int main(int argc, char **argv) {
        return verb_main(&program, argc, argv);
}
