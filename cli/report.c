/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn report: shows SNP attestation reports and verifies them up to AMD's pinned root keys. */

#include "report.h"

#include <errno.h>
#include <stdio.h>

#include "error.h"
#include "strutil.h"

#define AT(field) offsetof(ReportArguments, field)

static const OptionRow rows[] = {
        { "leaf", 0, OPTION_REQUIRED, "FILE", "Certificates (verify)",
                        "the VCEK or VLEK that signed the report, PEM or DER", "@file", option_append,
                        AT(leaf), 0 },
        { "ca", 0, OPTION_REQUIRED, "FILE", NULL,
                        "intermediate and root certificates or a revocation list, PEM or DER; repeatable",
                        "@file", option_append, AT(ca), 0 },
        { "certs", 0, OPTION_REQUIRED, "DIR", NULL,
                        "a directory to look for certificates in, or a certificate table; repeatable",
                        "@file", option_append, AT(certs), 0 },
        { "offline", 0, OPTION_NONE, NULL, NULL, "never ask AMD's key service; its cache is used", NULL,
                        option_set_true, AT(offline), 0 },
        { "cache", 0, OPTION_REQUIRED, "DIR", NULL,
                        "where answers of AMD's key service are kept; empty: nowhere", "@dir",
                        option_set_string, AT(cache), 0 },
        { "kds", 0, OPTION_REQUIRED, "URL", NULL, "a mirror of AMD's key service (https://kdsintf.amd.com)",
                        NULL, option_set_string, AT(kds_url), 0 },
        { "crl", 0, OPTION_REQUIRED, "MODE", NULL,
                        "revocation list: if-available (default), required or off",
                        "if-available required off", option_set_string, AT(crl), 0 },
        { "time", 0, OPTION_REQUIRED, "DATE", NULL,
                        "verify as of 2026-01-31, 2026-01-31T12:00:00Z or @SECONDS", NULL, option_set_string,
                        AT(time), 0 },
        { "generation", 0, OPTION_REQUIRED, "NAME", NULL,
                        "the processor, where the report does not say: milan, genoa, turin, venice",
                        "milan genoa turin venice", option_set_string, AT(generation), 0 },
        { "measurement", 0, OPTION_REQUIRED, "HEX", "Policy (verify)",
                        "the launch digest to expect; repeatable: any of them", NULL, option_append,
                        AT(measurements), 0 },
        { "reference", 0, OPTION_REQUIRED, "FILE", NULL,
                        "a table of cvmspawn measure --json; any of its digests will do", "@file",
                        option_append, AT(references), 0 },
        { "reference-key", 0, OPTION_REQUIRED, "FILE", NULL,
                        "the tables are signed (DSSE): the signer's public key", "@file", option_set_string,
                        AT(reference_key), 0 },
        { "report-data", 0, OPTION_REQUIRED, "HEX", NULL,
                        "the 64 bytes that the guest was to put into the report", NULL, option_append,
                        AT(report_data), 0 },
        { "bound-to", 0, OPTION_REQUIRED, "FILE", NULL, "the report data is the SHA-512 of this file",
                        "@file", option_set_string, AT(bound_to), 0 },
        { "host-data", 0, OPTION_REQUIRED, "HEX", NULL, "the 32 bytes that the host gave at launch", NULL,
                        option_append, AT(host_data), 0 },
        { "allow-debug", 0, OPTION_NONE, NULL, NULL, "accept a guest that its host may debug", NULL,
                        option_set_true, AT(allow_debug), 0 },
        { "vmpl", 0, OPTION_REQUIRED, "N", NULL,
                        "the privilege level of the reporter: 0 (default) to 3, or any", "0 1 2 3 any",
                        option_set_string, AT(vmpl), 0 },
        { "policy", 0, OPTION_REQUIRED, "FILE", NULL, "a policy file (JSON); options add to it", "@file",
                        option_set_string, AT(policy), 0 },
        { "insecure-any-measurement", 0, OPTION_NONE, NULL, "Dangerous (verify)",
                        "accept every guest on the machine", NULL, option_set_true, AT(any_measurement), 0 },
        { "insecure-any-report-data", 0, OPTION_NONE, NULL, NULL,
                        "accept old reports and reports about others' keys", NULL, option_set_true,
                        AT(any_report_data), 0 },
        { "insecure-root", 0, OPTION_REQUIRED, "FILE", NULL,
                        "trust this root instead of AMD's, for simulated machines", "@file",
                        option_set_string, AT(insecure_root), 0 },
        VERB_ROWS("Output", ReportArguments, common),
        { "field", 0, OPTION_REQUIRED, "NAME", NULL, "show one field, bare (measurement: hex)",
                        "measurement report-data host-data chip-id policy version", option_set_string,
                        AT(field), 0 },
        { "format", 0, OPTION_REQUIRED, "NAME", NULL, "show in words, or in snpguest's layout",
                        "words snpguest", option_set_string, AT(format), 0 },
};

static const OptionScope scopes[] = {
        { "leaf ca certs offline cache kds crl time measurement reference reference-key report-data "
          "bound-to "
          "host-data allow-debug vmpl policy insecure-any-measurement insecure-any-report-data "
          "insecure-root",
                        "verify" },
        { "field format", "show" },
};

static const OptionTable table = {
        .program = "cvmspawn report",
        .arguments = "show|verify REPORT [-- MEASURE OPTIONS...]",
        .summary = "Shows an SNP attestation report, or verifies it up to AMD's pinned root keys",
        .words = "show verify",
        .zone = "verifier",
        .epilog = "A report is the bare 1184 bytes, the same with a certificate table behind it, Azure's "
                  "HCL report, or a\n"
                  "directory with outblob and auxblob. Exit status of verify: 0 verified, 1 usage or "
                  "internal error,\n"
                  "2 not authentic, 3 policy not met, 4 a certificate or list is unavailable. See "
                  "cvmspawn-report(1).\n",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .scopes = scopes,
        .n_scopes = ELEMENTSOF(scopes),
};

static void arguments_done(ReportArguments *a) {
        strv_free(a->leaf);
        strv_free(a->ca);
        strv_free(a->certs);
        strv_free(a->measurements);
        strv_free(a->report_data);
        strv_free(a->host_data);
        strv_free(a->references);
        free(a->kds_url);
        free(a->cache);
        free(a->insecure_root);
        free(a->time);
        free(a->crl);
        free(a->generation);
        free(a->bound_to);
        free(a->reference_key);
        free(a->vmpl);
        free(a->policy);
        free(a->field);
        free(a->format);
}

static int run(int argc, char **argv, char **reterr) {
        _cleanup_(arguments_done) ReportArguments a = {};
        _cleanup_strv_free_ char **words = NULL;
        int r;

        r = verb_parse(&table, argc, argv, &a, &a.common, &words, reterr);
        if (r != 0)
                return r < 0 ? r : 0;
        if (words && streq(words[0], "show"))
                return report_show(&a, words + 1, reterr);
        if (words && streq(words[0], "verify"))
                return report_verify(&a, words + 1, reterr);
        return error_set(reterr, -EINVAL, "expected 'show' or 'verify', see --help");
}

int main(int argc, char **argv) {
        return verb_main(&table, argc, argv, run);
}
