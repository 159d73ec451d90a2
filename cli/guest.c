/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* cvmspawn-guest: reports, keys and secrets from inside a confidential guest. Links no crypto library, and nothing of the launcher. */

#include "guest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "atomic-file.h"
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
#include "strutil.h"

#define BIND_FILE_MAX (64u * 1024u * 1024u)

#define AT(field) offsetof(GuestArguments, field)

static const OptionRow rows[] = {
        { "bind", 0, OPTION_REQUIRED, "FILE", "Reports", "report data: the SHA-512 of this file", "@file",
                        option_set_string, AT(bind), 0 },
        { "report-data", 0, OPTION_REQUIRED, "HEX", NULL, "report data: up to 64 bytes, zeros behind", NULL,
                        option_set_string, AT(report_data), 0 },
        { "certs", 0, OPTION_REQUIRED, "FILE", NULL, "write the host's certificate table there", "@file",
                        option_set_string, AT(certs), 0 },
        { "with-certs", 0, OPTION_NONE, NULL, NULL, "append the host's certificate table to the report",
                        NULL, option_set_true, AT(with_certs), 0 },
        { "interface", 0, OPTION_REQUIRED, "NAME", NULL, "auto (default), tsm or ioctl", "auto tsm ioctl",
                        option_set_string, AT(interface), 0 },
        { "vmpl", 0, OPTION_REQUIRED, "N", NULL, "privilege level to speak for, 0 to 3", "0 1 2 3",
                        option_set_string, AT(vmpl), 0 },
        { "root-key", 0, OPTION_REQUIRED, "NAME", "Derived keys",
                        "vcek (default: the VLEK if one is loaded) or vmrk", "vcek vmrk", option_set_string,
                        AT(root_key), 0 },
        { "mix", 0, OPTION_REQUIRED, "FIELDS", NULL,
                        "what the key depends on: "
                        "policy,image-id,family-id,\nmeasurement,svn,tcb,launch-mit-vector",
                        NULL, option_set_string, AT(mix), 0 },
        { "guest-svn", 0, OPTION_REQUIRED, "N", NULL, "with svn: at most the one of the ID block", NULL,
                        option_set_unsigned, AT(guest_svn), 0 },
        { "tcb", 0, OPTION_REQUIRED, "NUMBER", NULL, "with tcb: at most the committed one", NULL,
                        option_set_u64, AT(tcb), 0 },
        { "launch-mit-vector", 0, OPTION_REQUIRED, "NUMBER", NULL, "with launch-mit-vector", NULL,
                        option_set_u64, AT(launch_mit_vector), 0 },
        { "output", 'o', OPTION_REQUIRED, "FILE", "Output", "write there instead of to standard output",
                        "@file", option_set_string, AT(output), 0 },
        { "json", 0, OPTION_NONE, NULL, NULL, "ok: print JSON", NULL, option_set_true, AT(json), 0 },
        { "help", 'h', OPTION_NONE, NULL, NULL, "print this text", NULL, option_set_true, AT(help), 0 },
        { "device", 0, OPTION_REQUIRED, "PATH", "Tests", "instead of " GUEST_DEVICE, "@file",
                        option_set_string, AT(device), 0 },
        { "tsm", 0, OPTION_REQUIRED, "DIR", NULL, "instead of " GUEST_TSM, "@dir", option_set_string,
                        AT(tsm), 0 },
        { "secrets", 0, OPTION_REQUIRED, "DIR", NULL, "instead of " GUEST_SECRETS, "@dir", option_set_string,
                        AT(secrets), 0 },
        { "root", 0, OPTION_REQUIRED, "DIR", NULL, "in front of /dev, /proc and /sys (ok, notify)", "@dir",
                        option_set_string, AT(root), 0 },
};

static const OptionTable table = {
        .program = "cvmspawn-guest",
        .arguments = "ok|report|derived-key|secret|notify|snpguest ...",
        .summary = "Reports, keys and secrets from inside a confidential guest",
        .zone = "guest",
        .epilog = "ok                        whether this is an SNP guest, and what is missing\n"
                  "report                    an attestation report, raw\n"
                  "derived-key               a key that only this guest on this chip gets\n"
                  "secret list|get|wipe GUID what was injected at launch (SEV, SEV-ES)\n"
                  "notify NAME=VALUE...      words to the launcher: READY=1, EXIT_STATUS=3\n"
                  "snpguest report|certificates|key|ok ...   with snpguest's words and files\n",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
};

static void arguments_done(GuestArguments *a) {
        char **strings[] = { &a->bind, &a->report_data, &a->certs, &a->interface, &a->vmpl, &a->root_key,
                &a->mix, &a->output, &a->device, &a->tsm, &a->secrets, &a->root };

        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                free(*strings[i]);
}

static int report_data(const GuestArguments *a, uint8_t ret[static GUEST_REPORT_DATA], char **reterr) {
        _cleanup_free_ uint8_t *bytes = NULL;
        _cleanup_free_ char *data = NULL;
        size_t n;
        int r;

        if (a->bind && a->report_data)
                return error_set(reterr, -EINVAL,
                                "--bind and --report-data both say what the report data is");
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
                                "a report without data of the asker's choice proves nothing about now: give "
                                "--bind=FILE or "
                                "--report-data=HEX");
        r = hex_decode(a->report_data, strlen(a->report_data), &bytes, &n);
        if (r < 0 || n == 0 || n > GUEST_REPORT_DATA)
                return error_set(reterr, -EINVAL, "--report-data: expected 1 to %u bytes in hex",
                                GUEST_REPORT_DATA);
        memcpy(ret, bytes, n);
        return 0;
}

int guest_parse_vmpl(const char *s, uint32_t *ret, char **reterr) {
        uint64_t v;

        if (!s) {
                *ret = GUEST_VMPL_ANY;
                return 0;
        }
        if (parse_u64_max(s, 3, &v) < 0)
                return error_set(reterr, -EINVAL, "--vmpl: expected 0, 1, 2 or 3, not '%s'", s);
        *ret = (uint32_t) v;
        return 0;
}

int guest_write(const char *path, const void *p, size_t n, mode_t mode, char **reterr) {
        int r = path ? file_write_atomic(path, p, n, mode, ATOMIC_FILE_REPLACE | ATOMIC_FILE_EXACT_MODE)
                     : fd_write_all(STDOUT_FILENO, p, n);

        return r < 0 ? error_set(reterr, r, "cannot write '%s': %s", path ?: "standard output", strerror(-r))
                     : 0;
}

int guest_get_report(const GuestArguments *a, const uint8_t data[static GUEST_REPORT_DATA], uint32_t vmpl,
                GuestReport *ret, char **reterr) {
        return guest_report_get(a->interface, a->tsm ?: GUEST_TSM, a->device ?: GUEST_DEVICE, data, vmpl,
                        ret, reterr);
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
                log_notice("%s: the report comes without them",
                                *report.note ? report.note
                                             : "the host gave no certificates with the report");
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
                        return error_set(reterr, -EINVAL, "--mix: there is no field '%s'", *word);
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

        if (a->root_key && !streq(a->root_key, "vcek") && !streq(a->root_key, "vmrk"))
                return error_set(
                                reterr, -EINVAL, "--root-key: expected vcek or vmrk, not '%s'", a->root_key);
        q.root_key = a->root_key && streq(a->root_key, "vmrk");
        if (a->mix)
                r = parse_mix(a->mix, &q.fields, reterr);
        if (r == 0)
                r = guest_parse_vmpl(a->vmpl, &q.vmpl, reterr);
        if (r < 0)
                return r;
        if (!a->output && isatty(STDOUT_FILENO))
                return error_set(reterr, -EINVAL,
                                "a key is not for the terminal: give --output=FILE or a pipe");
        if (!(q.fields & GUEST_KEY_MEASUREMENT))
                log_warning("without 'measurement' in --mix every guest that the host starts on this chip "
                            "gets the same key");
        log_notice("this key is bound to this chip and, with 'tcb', to its firmware: keep another way to "
                   "what it protects");
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
        int r;

        if (n == 1 && streq(words[0], "list")) {
                r = guest_secret_list(tree, &l, reterr);
                STRV_FOREACH(guid, l)
                        puts(*guid);
                return r;
        }
        if (n == 2 && streq(words[0], "wipe"))
                return guest_secret_wipe(tree, words[1], reterr);
        if (n != 2 || !streq(words[0], "get"))
                return error_set(reterr, -EINVAL, "secret: expected list, get GUID or wipe GUID");
        r = guest_secret_read(tree, words[1], &secret, reterr);
        return r < 0 ? r : guest_write(a->output, secret.data, secret.size, 0600, reterr);
}

int guest_do_ok(const GuestArguments *a, char **reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        GuestFindings f;
        int r;

        guest_check(a->root ?: "", &f);
        if (a->json) {
                r = guest_findings_json(&f, &j);
                text = r < 0 ? NULL : js_text(j, JS_PRETTY);
                if (!text)
                        return error_set(reterr, -ENOMEM, "out of memory");
                puts(text);
        } else
                FOREACH_ARRAY(x, f.list, f.n)
                        printf("[ %-4s ] %s%s%s\n", guest_state_to_string(x->state), x->name,
                                        x->remedy ? ": " : "", x->remedy ?: "");
        return f.ok ? 0 : 1;
}

static int run(int argc, char **argv, char **reterr) {
        _cleanup_(arguments_done) GuestArguments a = {};
        _cleanup_strv_free_ char **words = NULL;
        int r;

        if (argc > 1 && streq(argv[1], "snpguest"))
                return guest_snpguest(argc - 1, argv + 1, reterr);
        r = options_parse(&table, argc, argv, &a, &words, reterr);
        if (r != 0)
                return r;
        if (a.help) {
                options_help(&table, stdout);
                return 0;
        }
        if (!words)
                return error_set(reterr, -EINVAL,
                                "expected ok, report, derived-key, secret, notify or snpguest, see --help");
        if (streq(words[0], "secret"))
                return do_secret(&a, words + 1, reterr);
        if (streq(words[0], "notify") && words[1])
                return guest_notify(a.root ?: "", words + 1, reterr);
        if (words[1])
                return error_set(reterr, -EINVAL, "unexpected argument '%s'", words[1]);
        if (streq(words[0], "ok"))
                return guest_do_ok(&a, reterr);
        if (streq(words[0], "report"))
                return do_report(&a, reterr);
        if (streq(words[0], "derived-key"))
                return do_derived_key(&a, reterr);
        return error_set(reterr, -EINVAL, "unknown word '%s', see --help", words[0]);
}

int main(int argc, char **argv) {
        _cleanup_free_ char *error = NULL;
        int r;

        log_open("cvmspawn-guest", /* quiet= */ false);
        secret_forbid_core();
        if (options_dump_requested(&table, argc, argv))
                return 0;
        r = run(argc, argv, &error);
        if (r < 0) {
                log_failure(r, error);
                return 1;
        }
        return r;
}
