/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest's half of snpguest: its words, files and defaults. */

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
                        return error_set(reterr, -EINVAL, "'%s' is no binary number of at most 64 digits",
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

#define AT(field) offsetof(Arguments, field)

static const OptionRow rows[] = {
        { "random", 'r', OPTION_NONE, NULL, "Options",
                        "report: make the report data up and write it to REQUEST", NULL, option_set_true,
                        AT(random), 0 },
        { "platform", 'p', OPTION_NONE, NULL, NULL, "the platform chose the report data (Hyper-V)", NULL,
                        option_set_true, AT(platform), 0 },
        { "vmpl", 'v', OPTION_REQUIRED, "N", NULL, "privilege level, default 1", NULL, option_set_string,
                        AT(vmpl), 0 },
        { "guest_field_select", 'g', OPTION_REQUIRED, "BITS", NULL, "key: what it depends on", NULL,
                        set_number, AT(fields), 0 },
        { "guest_svn", 's', OPTION_REQUIRED, "N", NULL, "key", NULL, set_number, AT(svn), 0 },
        { "tcb_version", 't', OPTION_REQUIRED, "N", NULL, "key", NULL, set_number, AT(tcb), 0 },
        { "launch_mit_vector", 'l', OPTION_REQUIRED, "N", NULL, "key", NULL, set_mit_vector,
                        AT(launch_mit_vector), 0 },
        { "help", 'h', OPTION_NONE, NULL, NULL, "print this text", NULL, option_set_true, AT(help), 0 },
        { "quiet", 'q', OPTION_NONE, NULL, NULL, "print nothing", NULL, option_set_true, AT(quiet), 0 },
        { "device", 0, OPTION_REQUIRED, "PATH", NULL, "instead of " GUEST_DEVICE, "@file", option_set_string,
                        AT(guest.device), 0 },
};

static const OptionTable table = {
        .program = "cvmspawn-guest snpguest",
        .arguments = "report REPORT REQUEST|certificates PEM|DER DIR|key FILE vcek|vmrk|ok",
        .summary = "The guest's half of snpguest, with its words and files",
        .zone = "guest",
        .rows = rows,
        .n_rows = ELEMENTSOF(rows),
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
                                "--platform: Hyper-V's reports lie in the vTPM (NV index 0x01400001); read "
                                "it with "
                                "tpm2_nvread, cvmspawn report takes the file");
        if (a->random) {
                if (getrandom(data, sizeof(data), 0) != sizeof(data))
                        return error_set(reterr, -EIO, "no random bytes");
        } else {
                fd = fd_open(words[1], O_RDONLY, 0);
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
                log_notice("%s", *report.note ? report.note : "the host has loaded no certificates");
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

static int dispatch(const Arguments *a, char **words, char **reterr) {
        if (words && streq(words[0], "report"))
                return report(a, words + 1, reterr);
        if (words && streq(words[0], "certificates"))
                return certificates(a, words + 1, reterr);
        if (words && streq(words[0], "key"))
                return key(a, words + 1, reterr);
        if (words && streq(words[0], "ok"))
                return guest_do_ok(&a->guest, reterr);
        return error_set(reterr, -EINVAL,
                        "expected report, certificates, key or ok; what needs no guest is in cvmspawn "
                        "snpguest");
}

int guest_snpguest(int argc, char **argv, char **reterr) {
        _cleanup_strv_free_ char **words = NULL;
        Arguments a = {};
        int r;

        r = options_parse(&table, argc, argv, &a, &words, reterr);
        if (r == 0 && a.help)
                options_help(&table, stdout);
        else if (r == 0)
                r = dispatch(&a, words, reterr);
        free(a.vmpl);
        free(a.guest.device);
        return r;
}
