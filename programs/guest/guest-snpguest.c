/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The part of snpguest that runs in the guest: its commands, files and defaults. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "encode.h"
#include "error.h"
#include "fd.h"
#include "guest-check.h"
#include "guest.h"
#include "log.h"
#include "options.h"
#include "secret.h"
#include "snp-cert-table.h"
#include "strutil.h"

typedef struct Arguments {
        bool random, platform, quiet, help;
        char *vmpl;
        uint64_t fields, tcb, svn, launch_mit_vector;
        bool launch_mit_given;
        GuestArguments guest;
} Arguments;

/* Decimal, 0x or 0b. */
static int set_number(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        uint64_t v = 0;

        if (!startswith(value, "0b"))
                return option_set_u64(userdata, row, value, reterr);
        for (const char *p = value + 2; *p; p++) {
                if ((*p != '0' && *p != '1') || v >> 63)
                        return error_set(reterr, -EINVAL, "'%s' is not a binary number of at most 64 digits",
                                        value);
                v = v << 1 | (uint64_t) (*p == '1');
        }
        *(uint64_t *) ((char *) userdata + row->offset) = v;
        return 0;
}

static int set_mit_vector(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        ((Arguments *) userdata)->launch_mit_given = true;
        return set_number(userdata, row, value, reterr);
}

#define AT(member) offsetof(Arguments, member)

static const OptionRow rows[] = {
        { "random", 'r', OPTION_NONE, NULL, "Options", "Make up the report data and write it to REQUEST",
                        NULL, option_set_true, AT(random), 0 },
        { "platform", 'p', OPTION_NONE, NULL, NULL, "Leave the report data to the platform (Hyper-V)", NULL,
                        option_set_true, AT(platform), 0 },
        { "vmpl", 'v', OPTION_REQUIRED, "N", NULL, "Speak for this privilege level (default: 1)", NULL,
                        option_set_string, AT(vmpl), 0 },
        { "guest_field_select", 'g', OPTION_REQUIRED, "BITS", NULL, "Choose what the key depends on", NULL,
                        set_number, AT(fields), 0 },
        { "guest_svn", 's', OPTION_REQUIRED, "N", NULL, "Bind the key to this SVN", NULL, set_number,
                        AT(svn), 0 },
        { "tcb_version", 't', OPTION_REQUIRED, "N", NULL, "Bind the key to this TCB", NULL, set_number,
                        AT(tcb), 0 },
        { "launch_mit_vector", 'l', OPTION_REQUIRED, "N", NULL, "Bind the key to this vector", NULL,
                        set_mit_vector, AT(launch_mit_vector), 0 },
        { "help", 'h', OPTION_NONE, NULL, NULL, "Show this help", NULL, option_set_true, AT(help), 0 },
        { "quiet", 'q', OPTION_NONE, NULL, NULL, "Print nothing", NULL, option_set_true, AT(quiet), 0 },
        { "device", 0, OPTION_REQUIRED, "PATH", NULL, "Use this instead of " GUEST_DEVICE, "@file",
                        option_set_string, AT(guest.device), 0 },
};

static const OptionCommand commands[] = {
        { "report", "REPORT REQUEST", "Get an attestation report", "random platform vmpl quiet device" },
        { "certificates", "PEM|DER DIR", "Get the certificates that the host has loaded", "quiet device" },
        { "key", "FILE vcek|vmrk", "Derive a key",
                        "vmpl guest_field_select guest_svn tcb_version launch_mit_vector quiet device" },
        { "ok", NULL, "Check whether this is an SNP guest", "quiet" },
};

static const OptionTable table = {
        .program = "cvmspawn-guest snpguest",
        .summary = "Run the guest's half of snpguest's commands.",
        .zone = "guest",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
        .commands = commands,
        .n_commands = ELEMENTSOF(commands),
};

static int vmpl_of(const Arguments *a, uint32_t *ret, char **reterr) {
        return guest_parse_vmpl(a->vmpl ?: "1", ret, reterr);
}

static int report(const Arguments *a, char **words, char **reterr) {
        _cleanup_(guest_report_done) GuestReport report = {};
        uint8_t data[GUEST_REPORT_DATA];
        _cleanup_close_ int fd = -EBADF;
        uint32_t vmpl;
        int r;

        if (strv_length(words) != 2)
                return error_set(reterr, -EINVAL, "report: expected REPORT and REQUEST");
        if (a->platform)
                return error_set(reterr, -EOPNOTSUPP,
                                "--platform: Hyper-V's reports are in the vTPM (NV index 0x01400001); read it with tpm2_nvread and pass the file to cvmspawn report");
        if (a->random) {
                if (getrandom(data, sizeof(data), 0) != sizeof(data))
                        return error_set(reterr, -EIO, "no random bytes");
        } else {
                fd = fd_open_read(words[1], PIPE_WRITER_USEC);
                r = fd < 0 ? fd : fd_read_exact(fd, data, sizeof(data));
                if (r < 0)
                        return error_set(reterr, r, "cannot read 64 bytes from '%s': %s", words[1],
                                        strerror(-r));
        }
        r = vmpl_of(a, &vmpl, reterr);
        if (r == 0)
                r = guest_get_report(&a->guest, data, vmpl, &report, reterr);
        if (r == 0)
                r = guest_write(words[0], report.report, report.report_size, 0644, reterr);
        if (r == 0 && a->random)
                r = guest_write(words[1], data, sizeof(data), 0644, reterr);
        return r;
}

static int write_pem(const char *path, const void *p, size_t n, char **reterr) {
        _cleanup_free_ char *b = base64_encode(p, n), *s = NULL;
        _cleanup_(text_done) Text t = {};
        int r;

        if (!b)
                return -ENOMEM;
        text_put(&t, "-----BEGIN CERTIFICATE-----\n");
        for (size_t size = strlen(b), i = 0; i < size; i += 64) {
                text_put_n(&t, b + i, MIN((size_t) 64, size - i));
                text_put(&t, "\n");
        }
        text_put(&t, "-----END CERTIFICATE-----\n");
        r = text_finish(&t, &s);
        return r < 0 ? r : guest_write(path, s, strlen(s), 0644, reterr);
}

static int certificates(const Arguments *a, char **words, char **reterr) {
        _cleanup_(guest_report_done) GuestReport report = {};
        uint8_t data[GUEST_REPORT_DATA];
        bool pem, vlek = false;
        SnpCertTable t;
        int r;

        if (strv_length(words) != 2 ||
                        (strcasecmp(words[0], "pem") != 0 && strcasecmp(words[0], "der") != 0))
                return error_set(reterr, -EINVAL, "certificates: expected PEM or DER, and a directory");
        pem = strcasecmp(words[0], "pem") == 0;
        if (getrandom(data, sizeof(data), 0) != sizeof(data))
                return error_set(reterr, -EIO, "no random bytes");
        r = guest_get_report(&a->guest, data, GUEST_VMPL_ANY, &report, reterr);
        if (r < 0)
                return r;
        if (!report.certs) {
                if (*report.note && !a->quiet)
                        log_notice("%s", report.note);
                if (!a->quiet)
                        fprintf(stderr, "No certificates were loaded by the host...\n"); /* snpguest's */
                return 0;
        }
        r = snp_cert_table_decode(report.certs, report.certs_size, &t, reterr);
        if (r < 0)
                return r;
        if (mkdir(words[1], 0755) < 0 && errno != EEXIST)
                return error_set(reterr, -errno, "cannot make '%s': %s", words[1], strerror(errno));
        FOREACH_ARRAY(e, t.entries, t.n_entries)
                vlek = vlek || e->kind == SNP_CERT_VLEK;
        FOREACH_ARRAY(e, t.entries, t.n_entries) {
                bool is_pem = e->size > 10 && memcmp(e->data, "-----BEGIN", 10) == 0;
                _cleanup_free_ char *path = NULL;

                if (e->kind == SNP_CERT_OTHER)
                        continue;
                if (asprintf(&path, "%s/%s.%s", words[1],
                                    e->kind == SNP_CERT_ASK && vlek ? "asvk"
                                                                    : snp_cert_kind_to_string(e->kind),
                                    pem ? "pem" : "der") < 0)
                        return -ENOMEM;
                r = pem && !is_pem ? write_pem(path, e->data, e->size, reterr)
                                   : guest_write(path, e->data, e->size, 0644, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int key(const Arguments *a, char **words, char **reterr) {
        GuestKeyRequest q = { .fields = a->fields,
                .guest_svn = (uint32_t) a->svn,
                .tcb = a->tcb,
                .launch_mit_vector = a->launch_mit_vector };
        uint8_t derived[GUEST_KEY_SIZE];
        int r;

        if (strv_length(words) != 2 ||
                        (strcasecmp(words[1], "vcek") != 0 && strcasecmp(words[1], "vmrk") != 0))
                return error_set(reterr, -EINVAL, "key: expected a file, and vcek or vmrk");
        if (a->fields > 0x7f || a->svn > UINT32_MAX)
                return error_set(reterr, -EINVAL, "key: a field select over 0x7f or an SVN over 32 bits");
        q.root_key = strcasecmp(words[1], "vmrk") == 0;
        if (a->launch_mit_given)
                q.fields |= GUEST_KEY_LAUNCH_MIT;
        r = vmpl_of(a, &q.vmpl, reterr);
        if (r == 0)
                r = guest_derive_key(a->guest.device ?: GUEST_DEVICE, &q, derived, reterr);
        if (r == 0)
                r = guest_write(words[0], derived, sizeof(derived), 0600, reterr);
        erase_memory(derived, sizeof(derived));
        return r;
}

/* snpguest 0.9.2's names and order of the bits of SEV_STATUS, which guest_check() lists in the same order. */
static const char *const bit_names[] = { "SEV", "SEV-ES", "SNP", "VTOM", "ReflectVC", "Restricted Injection",
        "Alternate Injection", "Debug Swap", "Prevent Host IBS", "SNP BTB Isolation", "VMPL SSS",
        "Secure TSE", "VMG Exit Parameter", "IBS Virtualization", "VMSA Reg Prot", "SMT Protection" };

#define REQUIRED_BITS 3u

static int ok(const Arguments *a, char **reterr) {
        bool passed = true;
        GuestFindings f;

        guest_check(a->guest.root ?: "", &f);
        if (f.n < ELEMENTSOF(bit_names) || !streq(f.list[0].name, bit_names[0])) {
                if (!a->quiet)
                        printf("[ FAIL ] - Error reading MSR: Failed to get bit values, %s\n",
                                        f.n > 0 && f.list[0].remedy ? f.list[0].remedy : "unknown error");
                return error_set(reterr, -EIO, "One or more tests in snpguest-ok reported a failure");
        }
        for (size_t i = 0; i < ELEMENTSOF(bit_names); i++) {
                bool set = f.list[i].state == GUEST_STATE_OK, required = i < REQUIRED_BITS;

                passed = passed && (set || !required);
                if (a->quiet)
                        continue;
                if (i == REQUIRED_BITS)
                        printf("[ PASS ] - Optional Features statuses:\n");
                printf("[ %s ] %s- %s: %s\n", set || !required ? "PASS" : "FAIL", required ? "" : "  ",
                                bit_names[i], set ? "ENABLED" : "DISABLED");
        }
        return passed ? 0 : error_set(reterr, -EIO, "One or more tests in snpguest-ok reported a failure");
}

static int dispatch(const Arguments *a, char **words, char **reterr) {
        if (streq(words[0], "report"))
                return report(a, words + 1, reterr);
        if (streq(words[0], "certificates"))
                return certificates(a, words + 1, reterr);
        if (streq(words[0], "key"))
                return key(a, words + 1, reterr);
        return ok(a, reterr);
}

int guest_snpguest(int argc, char **argv, char **reterr) {
        _cleanup_strv_free_ char **words = NULL;
        Arguments a = {};
        int r;

        r = options_parse(&table, argc, argv, &a, &words, reterr);
        if (r == 0 && a.help)
                options_help_for(&table, words ? words[0] : NULL, stdout);
        else if (r == 0)
                r = dispatch(&a, words, reterr);
        options_free(&table, &a);
        return r;
}
