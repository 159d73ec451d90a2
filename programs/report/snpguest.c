/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn snpguest: fetch, verify, display and generate as snpguest has them. What needs a guest is in cvmspawn-guest. */

#include "snpguest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "input.h"
#include "log.h"
#include "report.h"
#include "secret.h"
#include "sev-cpu.h"
#include "snp-generation.h"
#include "snp-report.h"
#include "strutil.h"
#include "verb.h"

#define KEY_FILE_MAX 4096u

#define AT(member) offsetof(SnpguestArguments, member)
#define COMMON                                                                                              \
        { "quiet", 'q', OPTION_NONE, NULL, NULL, "Print nothing", NULL, option_set_true, AT(quiet), 0 }, {  \
                "help", 'h', OPTION_NONE, NULL, NULL, "Show this help", NULL, option_set_true, AT(help), 0  \
        }

/* Of all that is fetched. */
#define FETCHED                                                                                             \
        { "processor-model", 'p', OPTION_REQUIRED, "NAME", NULL,                                            \
                "Name the processor model, as certificates do", SNP_GENERATION_NAMES, option_set_string,    \
                AT(processor), 0 },                                                                         \
                        { "kds", 0, OPTION_REQUIRED, "URL", NULL, "Use this mirror of AMD's key service",   \
                                NULL, option_set_string, AT(kds), 0 },                                      \
                        { "cache", 0, OPTION_REQUIRED, "DIR", NULL, "Keep its answers in this directory",   \
                                "@dir", option_set_string, AT(cache), 0 },                                  \
                        COMMON

static const OptionRow fetch_rows[] = {
        { "report", 'r', OPTION_REQUIRED, "FILE", NULL, "Take the processor from this report", "@file",
                        option_set_string, AT(report), 0 },
        { "endorser", 'e', OPTION_REQUIRED, "NAME", NULL, "Fetch for this key: vcek (default) or vlek",
                        "vcek vlek", option_set_string, AT(endorser), 0 },
        FETCHED,
};
static const OptionRow fetch_vcek_rows[] = {
        /* the report is an argument, and a VLEK is not to be fetched */
        FETCHED,
};
static const OptionRow verify_rows[] = {
        { "processor-model", 'p', OPTION_REQUIRED, "NAME", NULL,
                        "Name the processor, where the report does not", SNP_GENERATION_NAMES,
                        option_set_string, AT(processor), 0 },
        { "tcb", 't', OPTION_NONE, NULL, NULL, "Print the lines about the TCB only; everything is verified",
                        NULL, option_set_true, AT(tcb), 0 },
        { "signature", 's', OPTION_NONE, NULL, NULL,
                        "Print the line about the signature only; everything is verified", NULL,
                        option_set_true, AT(signature), 0 },
        { "measurement", 'm', OPTION_REQUIRED, "HEX", NULL, "Expect this measurement", NULL,
                        option_set_string, AT(measurement), 0 },
        { "host-data", 'd', OPTION_REQUIRED, "HEX", NULL, "Expect this host data", NULL, option_set_string,
                        AT(host_data), 0 },
        { "report-data", 'r', OPTION_REQUIRED, "HEX", NULL, "Expect this report data", NULL,
                        option_set_string, AT(report_data), 0 },
        { "id-key-digest", 0, OPTION_REQUIRED, "HEX", NULL, "Expect this digest of the ID key", NULL,
                        option_set_string, AT(id_key_digest), 0 },
        { "author-key-digest", 0, OPTION_REQUIRED, "HEX", NULL, "Expect this digest of the author key", NULL,
                        option_set_string, AT(author_key_digest), 0 },
        { "time", 0, OPTION_REQUIRED, "DATE", NULL, "Verify as of this time", NULL, option_set_string,
                        AT(time), 0 },
        { "insecure-root", 0, OPTION_REQUIRED, "FILE", NULL, "Trust this root (PEM or DER) instead of AMD's",
                        "@file", option_set_string, AT(insecure_root), 0 },
        { "lax", 0, OPTION_NONE, NULL, NULL,
                        "Judge as snpguest does: any root, any validity, VMPL, version and policy", NULL,
                        option_set_true, AT(lax), 0 },
        COMMON,
};
static const OptionRow display_rows[] = { COMMON };
static const OptionRow display_report_rows[] = {
        { "processor-model", 'p', OPTION_REQUIRED, "NAME", NULL,
                        "Name the processor, where the report does not", SNP_GENERATION_NAMES,
                        option_set_string, AT(processor), 0 },
        COMMON,
};
static const OptionRow measurement_rows[] = {
        { "vcpus", 'v', OPTION_REQUIRED, "N", NULL, "Set the number of vCPUs (default: 1)", NULL,
                        option_set_string, AT(vcpus), 0 },
        { "vcpu-type", 0, OPTION_REQUIRED, "MODEL", NULL, "Set the CPU model", SEV_CPU_NAMES,
                        option_set_string, AT(vcpu_type), 0 },
        { "vcpu-sig", 0, OPTION_REQUIRED, "N", NULL, "Set the CPU signature", NULL, option_set_string,
                        AT(vcpu_sig), 0 },
        { "vcpu-family", 0, OPTION_REQUIRED, "N", NULL, "Set the CPU family", NULL, option_set_string,
                        AT(vcpu_family), 0 },
        { "vcpu-model", 0, OPTION_REQUIRED, "N", NULL, "Set the CPU model number", NULL, option_set_string,
                        AT(vcpu_model), 0 },
        { "vcpu-stepping", 0, OPTION_REQUIRED, "N", NULL, "Set the CPU stepping", NULL, option_set_string,
                        AT(vcpu_stepping), 0 },
        { "vmm-type", 't', OPTION_REQUIRED, "VMM", NULL, "Name the VMM: QEMU, ec2 or KRUN", "QEMU ec2 KRUN",
                        option_set_string, AT(vmm_type), 0 },
        { "ovmf", 'o', OPTION_REQUIRED, "FILE", NULL, "Use this firmware", "@file", option_set_string,
                        AT(ovmf), 0 },
        { "kernel", 'k', OPTION_REQUIRED, "FILE", NULL, "Use this kernel", "@file", option_set_string,
                        AT(kernel), 0 },
        { "initrd", 'i', OPTION_REQUIRED, "FILE", NULL, "Use this initrd", "@file", option_set_string,
                        AT(initrd), 0 },
        { "append", 'a', OPTION_REQUIRED, "WORDS", NULL, "Use this kernel command line", NULL,
                        option_set_string, AT(append), 0 },
        { "guest-features", 'g', OPTION_REQUIRED, "N", NULL, "Set SEV_FEATURES (default: 0x1)", NULL,
                        option_set_string, AT(features), 0 },
        { "ovmf-hash", 0, OPTION_REQUIRED, "HEX", NULL,
                        "Use this hash of 'generate ovmf-hash' instead of a firmware", NULL,
                        option_set_string, AT(ovmf_hash), 0 },
        { "output-format", 'f', OPTION_REQUIRED, "NAME", NULL, "Print hex (default) or base64", "hex base64",
                        option_set_word, AT(output_format), 0 },
        { "measurement-file", 'm', OPTION_REQUIRED, "FILE", NULL, "Write it to this file, too", "@file",
                        option_set_string, AT(file), 0 },
        COMMON,
};
static const OptionRow hash_rows[] = {
        { "ovmf", 'o', OPTION_REQUIRED, "FILE", NULL, "Use this firmware", "@file", option_set_string,
                        AT(ovmf), 0 },
        { "output-format", 'f', OPTION_REQUIRED, "NAME", NULL, "Print hex (default) or base64", "hex base64",
                        option_set_word, AT(output_format), 0 },
        { "hash-file", 0, OPTION_REQUIRED, "FILE", NULL, "Write it to this file, too", "@file",
                        option_set_string, AT(file), 0 },
        COMMON,
};
static const OptionRow id_block_rows[] = {
        { "family-id", 'f', OPTION_REQUIRED, "HEX", NULL, "Set these 16 bytes", NULL, option_set_string,
                        AT(family_id), 0 },
        { "image-id", 'm', OPTION_REQUIRED, "HEX", NULL, "Set these 16 bytes", NULL, option_set_string,
                        AT(image_id), 0 },
        { "version", 'v', OPTION_REQUIRED, "N", NULL, "Set the version of the block (1)", NULL,
                        option_set_string, AT(version), 0 },
        { "svn", 's', OPTION_REQUIRED, "N", NULL, "Set the guest SVN", NULL, option_set_string, AT(svn), 0 },
        { "policy", 'p', OPTION_REQUIRED, "N", NULL, "Set the guest policy (default: 0x30000)", NULL,
                        option_set_string, AT(policy), 0 },
        { "id-file", 'i', OPTION_REQUIRED, "FILE", NULL, "Write the ID block to this file, too", "@file",
                        option_set_string, AT(id_file), 0 },
        { "auth-file", 'a', OPTION_REQUIRED, "FILE", NULL, "Write the ID auth to this file, too", "@file",
                        option_set_string, AT(auth_file), 0 },
        { "passphrase-file", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Read the passphrase of encrypted keys from FILE (first line)", "@file",
                        option_set_string, AT(passphrase_file), 0 },
        COMMON,
};
static const OptionRow digest_rows[] = {
        { "key-digest-file", 'd', OPTION_REQUIRED, "FILE", NULL, "Write it to this file, too", "@file",
                        option_set_string, AT(file), 0 },
        { "passphrase-file", 0, OPTION_REQUIRED, "FILE", NULL,
                        "Read the passphrase of encrypted keys from FILE (first line)", "@file",
                        option_set_string, AT(passphrase_file), 0 },
        COMMON,
};

/* snpguest takes the layout from CHIP_ID and says nothing; where that is masked, it shows nothing. */
static void note_layout(const SnpReport *report) {
        SnpGeneration layout = snp_report_tcb_layout(report, _SNP_GENERATION_INVALID);

        if (report->version >= 3)
                log_warning("no known processor generation has CPUID family 0x%02x, model 0x%02x: the TCB is shown in the layout of Milan and Genoa",
                                report->cpuid_family, report->cpuid_model);
        else if (layout >= 0)
                log_notice("version 2 reports do not name the processor: the TCB is shown in the layout of %s, by the form of CHIP_ID; "
                           "-p milan, -p genoa or -p turin names it",
                                layout == SNP_MILAN ? "Milan and Genoa" : "Turin");
        else
                log_warning("version 2 reports do not name the processor, and CHIP_ID is masked: the TCB is shown in the layout of Milan and Genoa; "
                            "pass -p turin if it is Turin");
}

static int display_report(const SnpguestArguments *a, char **words, char **reterr) {
        _cleanup_(report_file_done) ReportFile f = {};
        _cleanup_free_ char *text = NULL;
        SnpGeneration g = _SNP_GENERATION_INVALID;
        SnpReport report;
        int r;

        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "display report: expected one report");
        r = snpguest_read_report(words[0], &f, &report, reterr);
        if (r == 0)
                r = snpguest_report_generation(&report, a->processor, &g, reterr);
        if (r < 0)
                return r;
        if (g < 0 && !a->quiet)
                note_layout(&report);
        r = snp_report_text_snpguest(&report, g, &text);
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

/* What snpguest's parser refuses, too. */
static const OptionRule verify_rules[] = {
        { "tcb", NULL, "signature", "each prints its lines only" },
        { "lax", NULL, "insecure-root", "it trusts every root" },
};
static const OptionRule measurement_rules[] = {
        { "vcpu-type", NULL, "vcpu-sig vcpu-family vcpu-model vcpu-stepping", "each describes the CPU" },
        { "vcpu-sig", NULL, "vcpu-family vcpu-model vcpu-stepping", "each describes the CPU" },
        { "vcpu-family vcpu-stepping", "vcpu-model", NULL, "the signature has all three" },
        { "vcpu-model", "vcpu-family", NULL, "the signature has all three" },
        { "vcpu-family", "vcpu-stepping", NULL, "the signature has all three" },
        { "initrd append", "kernel", NULL, NULL },
};

#define ROWS(rows)   rows, ELEMENTSOF(rows)
#define RULES(rules) rules, ELEMENTSOF(rules)

static const struct {
        const char *word, *what, *name, *arguments, *summary;
        const OptionRow *rows;
        size_t n_rows;
        int (*function)(const SnpguestArguments *a, char **words, char **reterr);
        const OptionRule *rules;
        size_t n_rules;
} verbs[] = {
        { "fetch", "ca", "fetch ca", "PEM|DER DIR [PROCESSOR]", "Fetch the CA certificates of a processor",
                        ROWS(fetch_rows), fetch_ca },
        { "fetch", "vcek", "fetch vcek", "PEM|DER DIR REPORT",
                        "Fetch the certificate of the key that signed a report", ROWS(fetch_vcek_rows),
                        fetch_vcek },
        { "fetch", "crl", "fetch crl", "PEM|DER DIR [PROCESSOR]", "Fetch the revocation list of a processor",
                        ROWS(fetch_rows), fetch_crl },
        { "verify", "certs", "verify certs", "DIR", "Verify the certificates in a directory",
                        ROWS(verify_rows), snpguest_verify_certs, RULES(verify_rules) },
        { "verify", "attestation", "verify attestation", "DIR REPORT",
                        "Verify a report by the certificates in a directory", ROWS(verify_rows),
                        snpguest_verify_attestation, RULES(verify_rules) },
        { "display", "report", "display report", "REPORT", "Show the fields of a report",
                        ROWS(display_report_rows), display_report },
        { "display", "key", "display key", "FILE", "Show a derived key", ROWS(display_rows), display_key },
        { "generate", "measurement", "generate measurement", NULL, "Compute the launch digest of a guest",
                        ROWS(measurement_rows), snpguest_measurement, RULES(measurement_rules) },
        { "generate", "ovmf-hash", "generate ovmf-hash", NULL, "Compute the hash of a firmware",
                        ROWS(hash_rows), snpguest_ovmf_hash },
        { "generate", "id-block", "generate id-block", "ID-KEY AUTHOR-KEY DIGEST",
                        "Build and sign an ID block", ROWS(id_block_rows), snpguest_id_block },
        { "generate", "key-digest", "generate key-digest", "KEY", "Print the digest of a key",
                        ROWS(digest_rows), snpguest_key_digest },
};

static const OptionTable table = {
        .program = "cvmspawn snpguest",
        .arguments = "fetch|verify|display|generate WHAT ...",
        .summary = "Run snpguest's commands that need no guest, with our verifier and AMD's pinned root keys.",
        .zone = "verifier",
        .epilog = "fetch ca|vcek|crl, verify certs|attestation, display report|key,\n"
                  "generate measurement|ovmf-hash|id-block|key-digest; each has its own --help.\n"
                  "report, certificates, key and ok are in cvmspawn-guest snpguest.\n",
        .rows = display_rows,
        .n_rows = ELEMENTSOF(display_rows),
};

static void arguments_done(SnpguestArguments *a) {
        FOREACH_ARRAY(v, verbs, ELEMENTSOF(verbs))
                options_free(&(const OptionTable) { .rows = v->rows, .n_rows = v->n_rows }, a);
}

/* All commands' options in one table, for completion and the manual's test. NULL: out of memory. */
static OptionRow *all_rows(OptionCommand ret_commands[static ELEMENTSOF(verbs)], size_t *ret_n) {
        size_t n = 0, max = 0;
        OptionRow *all;

        FOREACH_ARRAY(v, verbs, ELEMENTSOF(verbs))
                max += v->n_rows;
        all = calloc(max, sizeof(OptionRow));
        FOREACH_ARRAY(v, verbs, all ? ELEMENTSOF(verbs) : 0) {
                _cleanup_(text_done) Text names = {};
                char *list = NULL;

                FOREACH_ARRAY(row, v->rows, v->n_rows) {
                        size_t i = 0;

                        while (i < n && !streq(all[i].name, row->name))
                                i++;
                        all[i] = *row;
                        all[i].letter = 0; /* means something else elsewhere */
                        n = MAX(n, i + 1);
                        text_putf(&names, "%s ", row->name);
                }
                if (text_finish(&names, &list) < 0)
                        return NULL;
                ret_commands[v - verbs] = (OptionCommand) { v->name, v->arguments, v->summary, list };
        }
        *ret_n = n;
        return all;
}

/* 1 if the build asked for the table. */
static int dump(int argc, char **argv) {
        OptionCommand commands[ELEMENTSOF(verbs)] = {};
        OptionTable t = table;
        _cleanup_free_ OptionRow *rows = all_rows(commands, &t.n_rows);
        int r = -ENOMEM;

        t.rows = rows;
        t.commands = commands;
        t.n_commands = ELEMENTSOF(commands);
        if (rows)
                r = options_dump_requested(&t, argc, argv);
        FOREACH_ARRAY(c, commands, ELEMENTSOF(commands))
                free((char *) c->options);
        return r;
}

static int snpguest_run(int argc, char **argv, char **reterr) {
        _cleanup_(arguments_done) SnpguestArguments a = {};
        _cleanup_strv_free_ char **words = NULL;
        char program[64];
        int first = argc > 1 && (streq(argv[1], "-q") || streq(argv[1], "--quiet")), r;

        r = dump(argc, argv);
        if (r != 0)
                return r < 0 ? r : 0;
        a.quiet = first;
        argc -= first;
        argv += first;
        for (size_t i = 0; argc > 2 && i < ELEMENTSOF(verbs); i++) {
                OptionTable t = table;

                if (!streq(argv[1], verbs[i].word) || !streq(argv[2], verbs[i].what))
                        continue;
                (void) snprintf(program, sizeof(program), "cvmspawn snpguest %s", verbs[i].name);
                t.program = program;
                t.arguments = verbs[i].arguments;
                t.epilog = NULL;
                t.rows = verbs[i].rows;
                t.n_rows = verbs[i].n_rows;
                t.rules = verbs[i].rules;
                t.n_rules = verbs[i].n_rules;
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
                        "expected fetch, verify, display or generate and what, see --help; report, certificates, key and ok run inside a guest: "
                        "cvmspawn-guest snpguest");
}

int main(int argc, char **argv) {
        return verb_main_dialect(table.program, NULL, argc, argv, snpguest_run);
}
