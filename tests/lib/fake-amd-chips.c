/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* fake-amd-chips DIR N: a made-up AMD with many chips: ark.der, chain.pem, chip-I.der and report-I.bin for I from 0 to N - 1, paths (the addresses at the
 * key service, one in a line); and revocation lists: crl.der (three and a half hours are left of it), crl-older.der, crl-newer.der, crl-overdue.der,
 * crl-forged.der (signed by another key). */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto-pem.h"
#include "encode.h"
#include "fake-amd.h"

#define HOUR 3600

static const char *folder;

static void save(const char *name, const void *p, size_t n) {
        char path[4096];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        f = fopen(path, "we");
        if (!f || fwrite(p, 1, n, f) != n || fclose(f) != 0) {
                perror(path);
                exit(1);
        }
}

/* UTCTime */
static void format_time(time_t t, char ret[static 32]) {
        struct tm tm;

        (void) gmtime_r(&t, &tm);
        (void) snprintf(ret, 32, "%02d%02d%02d%02d%02d%02dZ", tm.tm_year % 100, tm.tm_mon + 1, tm.tm_mday,
                        tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void save_list(const FakeAmd *a, EVP_PKEY *key, const char *name, int since, int until) {
        static const unsigned serial = 0x10009;
        time_t now = time(NULL);
        char from[32], to[32];
        FakeBytes crl;

        format_time(now + since, from);
        format_time(now + until, to);
        crl = fake_crl_make(a, key, from, to, &serial, 1);
        save(name, crl.data, crl.size);
        free(crl.data);
}

static void save_chip(const FakeAmd *a, unsigned i, FILE *paths) {
        const SnpTcb tcb = { { 0, 4, 0, 24, 219 } };
        uint8_t chip[64] = { 1, (uint8_t) (i >> 8), (uint8_t) i }, raw[SNP_REPORT_SIZE];
        FakeCertificate c;
        FakeBytes vcek;
        SnpReport r;
        char name[32], *hex = hex_encode(chip, sizeof(chip));

        fake_vcek(a, &tcb, chip, &c);
        vcek = fake_certificate_make(&c);
        fake_certificate_done(&c);
        (void) snprintf(name, sizeof(name), "chip-%u.der", i);
        save(name, vcek.data, vcek.size);
        free(vcek.data);
        fake_report(a, &tcb, chip, &r);
        snp_report_encode(&r, raw);
        fake_report_sign(a, raw);
        (void) snprintf(name, sizeof(name), "report-%u.bin", i);
        save(name, raw, sizeof(raw));
        fprintf(paths, "/vcek/v1/Milan/%s?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219\n", hex);
        free(hex);
}

static void save_chain(const FakeAmd *a) {
        FakeCertificate c;
        FakeBytes ark, ask;
        char *ark_pem, *ask_pem, chain[16384];

        fake_ark(a, &c);
        ark = fake_certificate_make(&c);
        fake_certificate_done(&c);
        fake_ask(a, &c);
        ask = fake_certificate_make(&c);
        fake_certificate_done(&c);
        ark_pem = pem_encode("CERTIFICATE", ark.data, ark.size);
        ask_pem = pem_encode("CERTIFICATE", ask.data, ask.size);
        (void) snprintf(chain, sizeof(chain), "%s%s", ask_pem, ark_pem);
        save("chain.pem", chain, strlen(chain));
        save("ark.der", ark.data, ark.size);
        free(ark_pem);
        free(ask_pem);
        free(ark.data);
        free(ask.data);
}

int main(int argc, char **argv) {
        unsigned n = argc == 3 ? (unsigned) strtoul(argv[2], NULL, 10) : 0;
        char path[4096];
        FakeAmd amd, forged;
        FILE *paths;

        if (n == 0) {
                fprintf(stderr, "usage: fake-amd-chips DIR N\n");
                return 1;
        }
        folder = argv[1];
        fake_amd_init(&amd, SNP_MILAN, 2048);
        fake_amd_init(&forged, SNP_MILAN, 2048);
        save_chain(&amd);
        save_list(&amd, amd.ark, "crl.der", -24 * HOUR, 7 * HOUR / 2);
        save_list(&amd, amd.ark, "crl-older.der", -48 * HOUR, 700 * HOUR);
        save_list(&amd, amd.ark, "crl-newer.der", -HOUR, 700 * HOUR);
        save_list(&amd, amd.ark, "crl-overdue.der", -72 * HOUR, -HOUR);
        save_list(&amd, forged.ark, "crl-forged.der", -HOUR, 700 * HOUR);
        (void) snprintf(path, sizeof(path), "%s/paths", folder);
        paths = fopen(path, "we");
        if (!paths)
                return 1;
        for (unsigned i = 0; i < n; i++)
                save_chip(&amd, i, paths);
        fake_amd_done(&amd);
        fake_amd_done(&forged);
        return fclose(paths) == 0 ? 0 : 1;
}
