/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn snpguest: fetch, verify, display and generate as snpguest has them. What needs a guest is in cvmspawn-guest. */

#include "snpguest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "atomic-file.h"
#include "error.h"
#include "input.h"
#include "report.h"
#include "secret.h"
#include "snp-report.h"
#include "strutil.h"
#include "verb.h"

#define KEY_FILE_MAX 4096u

#define AT(field) offsetof(SnpguestArguments, field)
#define TEXT(name, letter, metavar, help, field)                                                            \
        { name, letter, OPTION_REQUIRED, metavar, NULL, help, NULL, option_set_string, AT(field), 0 }
#define FLAG(name, letter, help, field)                                                                     \
        { name, letter, OPTION_NONE, NULL, NULL, help, NULL, option_set_true, AT(field), 0 }
#define COMMON FLAG("quiet", 'q', "print nothing", quiet), FLAG("help", 'h', "print this text", help)

static const OptionRow fetch_rows[] = {
        TEXT("report", 'r', "FILE", "take the processor from this report", report),
        TEXT("endorser", 'e', "NAME", "vcek (default) or vlek", endorser),
        TEXT("processor-model", 'p', "NAME", "milan, genoa, bergamo, siena or turin", processor),
        TEXT("kds", 0, "URL", "a mirror of AMD's key service", kds),
        TEXT("cache", 0, "DIR", "where its answers are kept", cache),
        COMMON,
};
static const OptionRow verify_rows[] = {
        TEXT("processor-model", 'p', "NAME", "the processor, where the report does not say", processor),
        FLAG("tcb", 't', "accepted; everything is verified all the same", tcb),
        FLAG("signature", 's', "accepted; everything is verified all the same", signature),
        TEXT("measurement", 'm', "HEX", "the measurement to expect", measurement),
        TEXT("host-data", 'd', "HEX", "the host data to expect", host_data),
        TEXT("report-data", 'r', "HEX", "the report data to expect", report_data),
        TEXT("id-key-digest", 0, "HEX", "the ID key's digest to expect", id_key_digest),
        TEXT("author-key-digest", 0, "HEX", "the author key's digest to expect", author_key_digest),
        TEXT("time", 0, "DATE", "verify as of this time", time),
        TEXT("insecure-root", 0, "FILE", "trust this root instead of AMD's", insecure_root),
        COMMON,
};
static const OptionRow display_rows[] = { COMMON };
static const OptionRow measurement_rows[] = {
        TEXT("vcpus", 'v', "N", "number of vCPUs, default 1", vcpus),
        TEXT("vcpu-type", 0, "MODEL", "CPU model", vcpu_type),
        TEXT("vcpu-sig", 0, "N", "CPU signature", vcpu_sig),
        TEXT("vcpu-family", 0, "N", "CPU family", vcpu_family),
        TEXT("vcpu-model", 0, "N", "CPU model number", vcpu_model),
        TEXT("vcpu-stepping", 0, "N", "CPU stepping", vcpu_stepping),
        TEXT("vmm-type", 't', "VMM", "QEMU, ec2 or KRUN", vmm_type),
        TEXT("ovmf", 'o', "FILE", "firmware", ovmf),
        TEXT("kernel", 'k', "FILE", "kernel", kernel),
        TEXT("initrd", 'i', "FILE", "initrd", initrd),
        TEXT("append", 'a', "WORDS", "kernel command line", append),
        TEXT("guest-features", 'g', "N", "SEV_FEATURES, default 0x1", features),
        TEXT("ovmf-hash", 0, "HEX", "what generate ovmf-hash gave", ovmf_hash),
        TEXT("output-format", 'f', "NAME", "hex (default) or base64", output_format),
        TEXT("measurement-file", 'm', "FILE", "write it there, too", file),
        COMMON,
};
static const OptionRow hash_rows[] = {
        TEXT("ovmf", 'o', "FILE", "firmware", ovmf),
        TEXT("output-format", 'f', "NAME", "hex (default) or base64", output_format),
        TEXT("hash-file", 0, "FILE", "write it there, too", file),
        COMMON,
};
static const OptionRow id_block_rows[] = {
        TEXT("family-id", 'f', "HEX", "16 bytes", family_id),
        TEXT("image-id", 'm', "HEX", "16 bytes", image_id),
        TEXT("version", 'v', "N", "1", version),
        TEXT("svn", 's', "N", "guest SVN", svn),
        TEXT("policy", 'p', "N", "guest policy, default 0x30000", policy),
        TEXT("id-file", 'i', "FILE", "write the ID block there, too", id_file),
        TEXT("auth-file", 'a', "FILE", "write the ID auth there, too", auth_file),
        COMMON,
};
static const OptionRow digest_rows[] = {
        TEXT("key-digest-file", 'd', "FILE", "write it there, too", file),
        COMMON,
};

static int display_report(const SnpguestArguments *a, char **words, char **reterr) {
        _cleanup_(report_file_done) ReportFile f = {};
        _cleanup_free_ char *text = NULL;
        SnpReport report;
        int r;

        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "display report: expected one report");
        r = report_file_read(words[0], &f, reterr);
        if (r < 0)
                return r;
        if (!f.readable)
                return error_set(reterr, -EBADMSG, "%s: %s", words[0], f.complaint ?: "not a report");
        r = snp_report_decode(f.evidence.report, f.evidence.report_size, &report, reterr);
        if (r == 0)
                r = snp_report_text_snpguest(&report, snp_report_generation(&report), &text);
        if (r == 0 && !a->quiet && fputs(text, stdout) < 0)
                r = -EIO;
        return r;
}

static int display_key(const SnpguestArguments *a, char **words, char **reterr) {
        _cleanup_(secret_buf_done) SecretBuf key = {};
        int r;

        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "display key: expected one file");
        r = input_read_secret(NULL, words[0], KEY_FILE_MAX, &key, reterr);
        if (r < 0)
                return r;
        for (size_t i = 0; i < key.size && !a->quiet; i++)
                printf("%s%02x ", i % 16 == 0 ? "\n" : "", key.data[i]);
        if (!a->quiet)
                printf("\n\n");
        return 0;
}

static int fetch_ca(const SnpguestArguments *a, char **words, char **reterr) {
        return snpguest_fetch("ca", a, words, reterr);
}
static int fetch_vcek(const SnpguestArguments *a, char **words, char **reterr) {
        return snpguest_fetch("vcek", a, words, reterr);
}
static int fetch_crl(const SnpguestArguments *a, char **words, char **reterr) {
        return snpguest_fetch("crl", a, words, reterr);
}

#define ROWS(rows) rows, ELEMENTSOF(rows)

static const struct {
        const char *word, *what, *arguments;
        const OptionRow *rows;
        size_t n_rows;
        int (*function)(const SnpguestArguments *a, char **words, char **reterr);
} verbs[] = {
        { "fetch", "ca", "PEM|DER DIR [PROCESSOR]", ROWS(fetch_rows), fetch_ca },
        { "fetch", "vcek", "PEM|DER DIR REPORT", ROWS(fetch_rows), fetch_vcek },
        { "fetch", "crl", "PEM|DER DIR [PROCESSOR]", ROWS(fetch_rows), fetch_crl },
        { "verify", "certs", "DIR", ROWS(verify_rows), snpguest_verify_certs },
        { "verify", "attestation", "DIR REPORT", ROWS(verify_rows), snpguest_verify_attestation },
        { "display", "report", "REPORT", ROWS(display_rows), display_report },
        { "display", "key", "FILE", ROWS(display_rows), display_key },
        { "generate", "measurement", NULL, ROWS(measurement_rows), snpguest_measurement },
        { "generate", "ovmf-hash", NULL, ROWS(hash_rows), snpguest_ovmf_hash },
        { "generate", "id-block", "ID-KEY AUTHOR-KEY DIGEST", ROWS(id_block_rows), snpguest_id_block },
        { "generate", "key-digest", "KEY", ROWS(digest_rows), snpguest_key_digest },
};

static const OptionTable table = {
        .program = "cvmspawn snpguest",
        .arguments = "fetch|verify|display|generate WHAT ...",
        .summary = "snpguest's commands that need no guest, verified up to AMD's pinned root keys",
        .words = "fetch verify display generate",
        .zone = "verifier",
        .epilog = "fetch ca|vcek|crl, verify certs|attestation, display report|key,\n"
                  "generate measurement|ovmf-hash|id-block|key-digest; each has a --help of its own.\n"
                  "report, certificates, key and ok are in cvmspawn-guest snpguest.\n",
        .rows = display_rows,
        .n_rows = ELEMENTSOF(display_rows),
};

void snpguest_arguments_done(SnpguestArguments *a) {
        char **strings[] = { &a->report, &a->endorser, &a->processor, &a->kds, &a->cache, &a->measurement,
                &a->host_data, &a->report_data, &a->id_key_digest, &a->author_key_digest, &a->time,
                &a->insecure_root, &a->vcpus, &a->vcpu_type, &a->vcpu_sig, &a->vcpu_family, &a->vcpu_model,
                &a->vcpu_stepping, &a->vmm_type, &a->ovmf, &a->kernel, &a->initrd, &a->append, &a->features,
                &a->ovmf_hash, &a->output_format, &a->file, &a->family_id, &a->image_id, &a->version,
                &a->svn, &a->policy, &a->id_file, &a->auth_file };

        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                free(*strings[i]);
}

int snpguest_write(const char *path, const void *p, size_t n, char **reterr) {
        int r = file_write_atomic(path, p, n, 0644, ATOMIC_FILE_REPLACE);

        return r < 0 ? error_set(reterr, r, "cannot write '%s': %s", path, strerror(-r)) : 0;
}

static int run(int argc, char **argv, char **reterr) {
        _cleanup_(snpguest_arguments_done) SnpguestArguments a = {};
        _cleanup_strv_free_ char **words = NULL;
        char program[64];
        int first = argc > 1 && (streq(argv[1], "-q") || streq(argv[1], "--quiet")), r;

        a.quiet = first;
        argc -= first;
        argv += first;
        for (size_t i = 0; argc > 2 && i < ELEMENTSOF(verbs); i++) {
                OptionTable t = table;

                if (!streq(argv[1], verbs[i].word) || !streq(argv[2], verbs[i].what))
                        continue;
                (void) snprintf(program, sizeof(program), "cvmspawn snpguest %s %s", verbs[i].word,
                                verbs[i].what);
                t.program = program;
                t.arguments = verbs[i].arguments;
                t.epilog = NULL;
                t.rows = verbs[i].rows;
                t.n_rows = verbs[i].n_rows;
                r = options_parse(&t, argc - 2, argv + 2, &a, &words, reterr);
                if (r != 0)
                        return r;
                if (a.help) {
                        options_help(&t, stdout);
                        return 0;
                }
                return verbs[i].function(&a, words, reterr);
        }
        /* "fetch --help" gets the list, too: it is short. */
        for (int i = 1; i < argc && i < 3; i++)
                if (streq(argv[i], "--help") || streq(argv[i], "-h")) {
                        options_help(&table, stdout);
                        return 0;
                }
        if (argc > 1 && (streq(argv[1], "--version") || streq(argv[1], "-V")))
                return printf("cvmspawn %s\n", CVMSPAWN_VERSION) < 0 ? -EIO : 0;
        return error_set(reterr, -EINVAL,
                        "expected fetch, verify, display or generate and what, see --help; report, "
                        "certificates, key and ok "
                        "run inside a guest: cvmspawn-guest snpguest");
}

int main(int argc, char **argv) {
        return verb_main(&table, argc, argv, run);
}
