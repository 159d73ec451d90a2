/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn-guest: reports, keys and secrets from inside a confidential guest. Links no crypto library, and nothing of the launcher. */

#include "guest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "encode.h"
#include "error.h"
#include "fd.h"
#include "guest-check.h"
#include "guest-notify.h"
#include "guest-secret.h"
#include "guest-sha512.h"
#include "log.h"
#include "options.h"
#include "secret.h"
#include "stdout.h"
#include "strutil.h"

#define BIND_FILE_MAX (64u * 1024u * 1024u)

#define AT(member) offsetof(GuestArguments, member)

static const OptionRow rows[] = {
        { "bind", 0, OPTION_REQUIRED, "FILE", "Reports", "Use the SHA-512 of this file as report data",
                        "@file", option_set_string, AT(bind), 0 },
        { "report-data", 0, OPTION_REQUIRED, "HEX", NULL,
                        "Use these bytes as report data: up to 64, padded with zeros", NULL,
                        option_set_string, AT(report_data), 0 },
        { "certs", 0, OPTION_REQUIRED, "FILE", NULL, "Write the host's certificate table to FILE", "@file",
                        option_set_string, AT(certs), 0 },
        { "with-certs", 0, OPTION_NONE, NULL, NULL, "Append the host's certificate table to the report",
                        NULL, option_set_true, AT(with_certs), 0 },
        { "interface", 0, OPTION_REQUIRED, "NAME", NULL, "Use auto (default), tsm or ioctl",
                        "auto tsm ioctl", option_set_word, AT(interface), 0 },
        { "vmpl", 0, OPTION_REQUIRED, "N", NULL, "Speak for this privilege level, 0 to 3", "0 1 2 3",
                        option_set_string, AT(vmpl), 0 },
        { "root-key", 0, OPTION_REQUIRED, "NAME", "Derived keys",
                        "Derive from vcek (default: the VLEK if one is loaded) or vmrk", "vcek vmrk",
                        option_set_word, AT(root_key), 0 },
        { "mix", 0, OPTION_REQUIRED, "FIELDS", NULL,
                        "Bind the key to these: policy,image-id,family-id,\nmeasurement,svn,tcb,launch-mit-vector",
                        "policy image-id family-id measurement svn tcb launch-mit-vector", option_set_string,
                        AT(mix), OPTION_COMMAS },
        { "guest-svn", 0, OPTION_REQUIRED, "N", NULL,
                        "Bind to this SVN, with svn: at most the one of the ID block", NULL,
                        option_set_unsigned, AT(guest_svn), 0 },
        { "tcb", 0, OPTION_REQUIRED, "NUMBER", NULL, "Bind to this TCB, with tcb: at most the committed one",
                        NULL, option_set_u64, AT(tcb), 0 },
        { "launch-mit-vector", 0, OPTION_REQUIRED, "NUMBER", NULL,
                        "Bind to this vector, with launch-mit-vector", NULL, option_set_u64,
                        AT(launch_mit_vector), 0 },
        { "output", 'o', OPTION_REQUIRED, "FILE", "Output", "Write to FILE instead of standard output",
                        "@file", option_set_string, AT(output), 0 },
        { "json", 0, OPTION_OPTIONAL, "STYLE", NULL, OPTION_JSON_HELP, OPTION_JSON_VALUES, option_set_json,
                        AT(json), 0 },
        { "help", 'h', OPTION_NONE, NULL, NULL, "Show this help", NULL, option_set_true, AT(help), 0 },
        { "device", 0, OPTION_REQUIRED, "PATH", "Tests", "Use this instead of " GUEST_DEVICE, "@file",
                        option_set_string, AT(device), 0 },
        { "tsm", 0, OPTION_REQUIRED, "DIR", NULL, "Use this instead of " GUEST_TSM, "@dir",
                        option_set_string, AT(tsm), 0 },
        { "secrets", 0, OPTION_REQUIRED, "DIR", NULL, "Use this instead of " GUEST_SECRETS, "@dir",
                        option_set_string, AT(secrets), 0 },
        { "root", 0, OPTION_REQUIRED, "DIR", NULL, "Put this in front of /dev, /proc and /sys", "@dir",
                        option_set_string, AT(root), 0 },
};

#define EVIDENCE "vmpl output device "

static const OptionCommand commands[] = {
        { "ok", NULL, "Check whether this is an SNP guest, and what is missing", "json root" },
        { "report", NULL, "Get an attestation report (in a TD: a quote), raw",
                        EVIDENCE "bind report-data certs with-certs interface tsm" },
        { "quote", NULL, "Get a quote of a TD (TDX), raw", "output bind report-data tsm" },
        { "rtmr show", NULL, "Print the measurement registers of a TD", "json root" },
        { "rtmr extend", "INDEX DIGEST", "Add a SHA-384 digest to RTMR2 or RTMR3 of a TD", "root" },
        { "ccel", NULL, "Get the event log of a TD, raw", "output root" },
        { "derived-key", NULL, "Derive a key that only this guest on this chip gets",
                        EVIDENCE "root-key mix guest-svn tcb launch-mit-vector" },
        { "secret list", NULL, "List what was injected at launch (SEV, SEV-ES)", "secrets" },
        { "secret get", "GUID", "Print one of these secrets", "secrets output" },
        { "secret wipe", "GUID", "Erase one of these secrets", "secrets" },
        { "notify", "NAME=VALUE...", "Send notifications to the launcher: READY=1, EXIT_STATUS=3", "root" },
        { "snpguest", "report|certificates|key|ok ...", "Run the guest's half of snpguest's commands",
                        NULL },
};

static const OptionRule rules[] = {
        { "bind", NULL, "report-data", "both say what the report data is" },
        { "guest-svn tcb launch-mit-vector", "mix", NULL, NULL },
};

static const OptionTable table = {
        .program = "cvmspawn-guest",
        .summary = "Get reports, keys and secrets from inside a confidential guest.",
        .zone = "guest",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .commands = commands,
        .n_commands = ELEMENTSOF(commands),
        .rules = rules,
        .n_rules = ELEMENTSOF(rules),
};

static int report_data(const GuestArguments *a, uint8_t ret[static GUEST_REPORT_DATA], char **reterr) {
        _cleanup_free_ uint8_t *bytes = NULL;
        _cleanup_free_ char *data = NULL;
        size_t n;
        int r;

        memset(ret, 0, GUEST_REPORT_DATA);
        if (a->bind) {
                r = file_read_all(a->bind, BIND_FILE_MAX, &data, &n);
                if (r < 0)
                        return error_set(reterr, r, "--bind: cannot read '%s': %s", a->bind, strerror(-r));
                guest_sha512(data, n, ret);
                return 0;
        }
        if (!a->report_data)
                return error_set(reterr, -EINVAL,
                                "a report without report data may be old: pass --bind=FILE or --report-data=HEX");
        r = hex_decode(a->report_data, strlen(a->report_data), &bytes, &n);
        if (r < 0 || n == 0 || n > GUEST_REPORT_DATA)
                return error_set(reterr, -EINVAL, "--report-data: expected 1 to %u bytes in hexadecimal",
                                GUEST_REPORT_DATA);
        memcpy(ret, bytes, n);
        return 0;
}

static int do_report(const GuestArguments *a, char **reterr) {
        _cleanup_(guest_report_done) GuestReport report = {};
        _cleanup_free_ uint8_t *whole = NULL;
        uint8_t data[GUEST_REPORT_DATA];
        uint32_t vmpl;
        int r;

        r = report_data(a, data, reterr);
        if (r == 0)
                r = guest_parse_vmpl(a->vmpl, &vmpl, reterr);
        if (r == 0)
                r = guest_get_report(a, data, vmpl, &report, reterr);
        if (r < 0)
                return r;
        if (!report.certs && (a->certs || a->with_certs))
                log_notice("%s: the report has no certificates",
                                *report.note ? report.note
                                             : "the host supplied no certificates with the report");
        if (a->certs && report.certs) {
                r = guest_write(a->certs, report.certs, report.certs_size, 0644, reterr);
                if (r < 0)
                        return r;
        }
        if (!a->with_certs || !report.certs)
                return guest_write(a->output, report.report, report.report_size, 0644, reterr);
        whole = malloc(report.report_size + report.certs_size);
        if (!whole)
                return -ENOMEM;
        memcpy(whole, report.report, report.report_size);
        memcpy(whole + report.report_size, report.certs, report.certs_size);
        return guest_write(a->output, whole, report.report_size + report.certs_size, 0644, reterr);
}

static int do_quote(const GuestArguments *a, char **reterr) {
        _cleanup_(guest_report_done) GuestReport quote = {};
        uint8_t data[GUEST_REPORT_DATA];
        int r = report_data(a, data, reterr);

        if (r == 0)
                r = guest_report_by_tsm(a->tsm ?: GUEST_TSM, data, GUEST_VMPL_ANY, &quote, reterr);
        if (r < 0)
                return r;
        if (!streq(quote.interface, "tsm: tdx_guest"))
                return error_set(reterr, -EOPNOTSUPP,
                                "this is not a TD, its reports come from '%s': use 'cvmspawn-guest report'",
                                quote.interface);
        return guest_write(a->output, quote.report, quote.report_size, 0644, reterr);
}

static int parse_mix(const char *s, uint64_t *ret, char **reterr) {
        static const char *const names[] = { "policy", "image-id", "family-id", "measurement", "svn", "tcb",
                "launch-mit-vector" };
        _cleanup_strv_free_ char **l = NULL;
        uint64_t fields = 0;
        int r;

        r = strv_split(s, ',', &l);
        if (r < 0)
                return r;
        STRV_FOREACH(word, l) {
                size_t i;

                for (i = 0; i < ELEMENTSOF(names) && !streq(*word, names[i]); i++)
                        ;
                if (i == ELEMENTSOF(names))
                        return error_set(reterr, -EINVAL, "--mix: unknown field '%s'", *word);
                fields |= UINT64_C(1) << i;
        }
        *ret = fields;
        return 0;
}

static int do_derived_key(const GuestArguments *a, char **reterr) {
        GuestKeyRequest q = {
                .guest_svn = a->guest_svn, .tcb = a->tcb, .launch_mit_vector = a->launch_mit_vector
        };
        uint8_t key[GUEST_KEY_SIZE];
        int r = 0;

        q.root_key = a->root_key && streq(a->root_key, "vmrk");
        if (a->mix)
                r = parse_mix(a->mix, &q.fields, reterr);
        if (r == 0)
                r = guest_parse_vmpl(a->vmpl, &q.vmpl, reterr);
        if (r < 0)
                return r;
        if (!a->output && isatty(STDOUT_FILENO))
                return error_set(reterr, -EINVAL,
                                "standard output is a terminal, and the key is binary and secret: use --output=FILE or a pipe");
        if (!(q.fields & GUEST_KEY_MEASUREMENT))
                log_warning("without 'measurement' in --mix, every guest that the host starts on this chip can derive the same key");
        log_notice("this key is bound to this chip and, with 'tcb', to its firmware: keep a second key for the data that it protects");
        r = guest_derive_key(a->device ?: GUEST_DEVICE, &q, key, reterr);
        if (r == 0)
                r = guest_write(a->output, key, sizeof(key), 0600, reterr);
        erase_memory(key, sizeof(key));
        return r;
}

static int do_secret(const GuestArguments *a, char **words, char **reterr) {
        const char *tree = a->secrets ?: GUEST_SECRETS;
        _cleanup_(secret_buf_done) SecretBuf secret = {};
        _cleanup_strv_free_ char **l = NULL;
        size_t n = strv_length(words);
        bool list = streq(words[0], "list");
        int r;

        if (n != (list ? 1 : 2))
                return error_set(reterr, -EINVAL, "secret: expected list, get GUID or wipe GUID");
        if (list) {
                r = guest_secret_list(tree, &l, reterr);
                STRV_FOREACH(guid, l)
                        puts(*guid);
                return r;
        }
        if (streq(words[0], "wipe"))
                return guest_secret_wipe(tree, words[1], reterr);
        r = guest_secret_read(tree, words[1], &secret, reterr);
        return r < 0 ? r : guest_write(a->output, secret.data, secret.size, 0600, reterr);
}

static int do_ok(const GuestArguments *a, char **reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        GuestFindings f;
        int r;

        guest_check(a->root ?: "", &f);
        if (a->json) {
                r = guest_findings_json(&f, &j);
                text = r < 0 ? NULL : js_text(j, a->json == OPTION_JSON_PRETTY ? JS_PRETTY : JS_SHORT);
                if (!text)
                        return error_set(reterr, -ENOMEM, "out of memory");
                puts(text);
        } else
                FOREACH_ARRAY(x, f.list, f.n)
                        printf("[ %-4s ] %s%s%s\n", guest_state_to_string(x->state), x->name,
                                        x->remedy ? ": " : "", x->remedy ?: "");
        return f.ok ? 0 : 1;
}

static int guest_run(int argc, char **argv, GuestArguments *a, char **reterr) {
        _cleanup_strv_free_ char **words = NULL;
        int r;

        if (argc > 1 && streq(argv[1], "snpguest"))
                return guest_snpguest(argc - 1, argv + 1, reterr);
        r = options_parse(&table, argc, argv, a, &words, reterr);
        if (r != 0)
                return r;
        if (a->help) {
                options_help_for(&table, words ? words[0] : NULL, stdout);
                return 0;
        }
        if (streq(words[0], "secret"))
                return do_secret(a, words + 1, reterr);
        if (streq(words[0], "rtmr"))
                return guest_rtmr(a, words + 1, reterr);
        if (streq(words[0], "notify") && words[1])
                return guest_notify(a->root ?: "", words + 1, reterr);
        if (words[1])
                return error_set(reterr, -EINVAL, "unexpected argument '%s'", words[1]);
        if (streq(words[0], "ok"))
                return do_ok(a, reterr);
        if (streq(words[0], "report"))
                return do_report(a, reterr);
        if (streq(words[0], "quote"))
                return do_quote(a, reterr);
        if (streq(words[0], "ccel"))
                return guest_ccel(a, reterr);
        return do_derived_key(a, reterr);
}

int main(int argc, char **argv) {
        GuestArguments a = {};
        _cleanup_free_ char *error = NULL;
        int r;

        log_open("cvmspawn-guest", /* quiet= */ false);
        secret_forbid_core();
        r = stdout_open();
        if (r < 0)
                return log_failure(r, "cannot open /dev/null"), 1;
        if (!options_dump_requested(&table, argc, argv))
                r = guest_run(argc, argv, &a, &error);
        options_free(&table, &a);
        r = stdout_finish(r, &error);
        if (r < 0) {
                log_failure(r, error);
                return 1;
        }
        return r;
}
