/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* fake-amd-tool DIR [GENERATION [DIGEST...]]: a made-up AMD as files, for tests of programs: ark.der, ask.der, asvk.der, vcek.der, vcek-old.der (the same key before an update), vlek.der, chain.pem
 * (as AMD's cert_chain), crl.der, forged-ark.der (same name, another key), report.bin, report-debug.bin, report-v6.bin,
 * report-vlek.bin, report-1.bin, report-2.bin ... (of these launch digests), table.bin (the host's certificate table). Keys are new in every run. */

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "crypto-pem.h"
#include "encode.h"
#include "fake-amd.h"
#include "fd.h"
#include "guest-policy.h"
#include "snp-cert-table.h"
#include "strutil.h"

static const char *folder;

static int save(const char *name, const void *p, size_t n) {
        char path[4096];
        FILE *f;
        int r;

        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        f = fopen(path, "we");
        if (!f)
                return -1;
        r = fwrite(p, 1, n, f) == n ? 0 : -1;
        return fclose(f) == 0 ? r : -1;
}

static FakeBytes save_certificate(const char *name, FakeCertificate *c) {
        FakeBytes der = fake_certificate_make(c);

        if (save(name, der.data, der.size) < 0)
                perror(name);
        fake_certificate_done(c);
        return der;
}

static void save_report(const FakeAmd *a, const char *name, const SnpReport *r) {
        uint8_t raw[SNP_REPORT_SIZE];

        snp_report_encode(r, raw);
        fake_report_sign(a, raw);
        if (save(name, raw, sizeof(raw)) < 0)
                perror(name);
}

static void save_reports(const FakeAmd *a, const SnpTcb *tcb, const uint8_t *chip) {
        SnpReport r;

        fake_report(a, tcb, chip, &r);
        save_report(a, "report.bin", &r);
        r.policy |= SNP_POLICY_DEBUG;
        save_report(a, "report-debug.bin", &r);
        r.policy &= ~SNP_POLICY_DEBUG;
        r.version = 6;
        save_report(a, "report-v6.bin", &r);
        r.version = 5;
        r.signing_key = SNP_SIGNING_KEY_VLEK;
        memset(r.chip_id, 0, sizeof(r.chip_id));
        save_report(a, "report-vlek.bin", &r);
}

static void save_digests(const FakeAmd *a, const SnpTcb *tcb, const uint8_t *chip, char **digests, int n) {
        for (int i = 0; i < n; i++) {
                char name[32];
                SnpReport r;

                fake_report(a, tcb, chip, &r);
                if (hex_decode_exact(digests[i], r.measurement, sizeof(r.measurement)) < 0)
                        fprintf(stderr, "'%s' is not a launch digest\n", digests[i]);
                (void) snprintf(name, sizeof(name), "report-%d.bin", i + 1);
                save_report(a, name, &r);
        }
}

int main(int argc, char **argv) {
        SnpGeneration g = argc > 2 ? snp_generation_from_string(argv[2]) : SNP_MILAN;
        static const unsigned serial = 0x10009;
        FakeBytes ark, ask, vcek, crl, other;
        FakeAmd amd, forged;
        uint8_t chip[64] = { 2, 4, 6, 8 }, *table = NULL;
        SnpTcb tcb = { { 0, 4, 0, 24, 219 } }, old;
        SnpCertTable t = {};
        FakeCertificate c;
        char *ask_pem, *ark_pem;
        char chain[16384];
        size_t size;

        if (argc < 2 || g < 0) {
                fprintf(stderr, "usage: fake-amd-tool DIR [milan|genoa|turin [DIGEST...]]\n");
                return 1;
        }
        folder = argv[1];
        chip[63] = 64; /* before Turin all bytes count */
        if (snp_generation_has_tcb_part(g, SNP_TCB_FMC))
                tcb.part[SNP_TCB_FMC] = 1;
        fake_amd_init(&amd, g, 2048);
        fake_amd_init(&forged, g, 2048);
        fake_ark(&amd, &c);
        ark = save_certificate("ark.der", &c);
        fake_ask(&amd, &c);
        ask = save_certificate("ask.der", &c);
        fake_asvk(&amd, &c);
        free(save_certificate("asvk.der", &c).data);
        fake_vcek(&amd, &tcb, chip, &c);
        vcek = save_certificate("vcek.der", &c);
        old = tcb;
        old.part[SNP_TCB_SNP]--;
        fake_vcek(&amd, &old, chip, &c);
        free(save_certificate("vcek-old.der", &c).data);
        fake_vlek(&amd, &tcb, "CN=cloud.example", &c);
        free(save_certificate("vlek.der", &c).data);
        fake_ark(&forged, &c);
        other = save_certificate("forged-ark.der", &c);
        crl = fake_crl_make(&amd, amd.ark, "260101000000Z", "450101000000Z", &serial, 1);
        (void) save("crl.der", crl.data, crl.size);

        ask_pem = pem_encode("CERTIFICATE", ask.data, ask.size);
        ark_pem = pem_encode("CERTIFICATE", ark.data, ark.size);
        if (!ask_pem || !ark_pem)
                return 1;
        (void) snprintf(chain, sizeof(chain), "%s%s", ask_pem, ark_pem);
        (void) save("chain.pem", chain, strlen(chain));

        t.entries[t.n_entries++] = (SnpCertEntry) { SNP_CERT_VCEK, {}, vcek.data, vcek.size };
        t.entries[t.n_entries++] = (SnpCertEntry) { SNP_CERT_ASK, {}, ask.data, ask.size };
        t.entries[t.n_entries++] = (SnpCertEntry) { SNP_CERT_ARK, {}, ark.data, ark.size };
        if (snp_cert_table_encode(&t, &table, &size) < 0 || save("table.bin", table, size) < 0)
                return 1;
        save_reports(&amd, &tcb, chip);
        save_digests(&amd, &tcb, chip, argv + 3, argc - 3);

        free(ask_pem);
        free(ark_pem);
        free(ark.data);
        free(ask.data);
        free(vcek.data);
        free(crl.data);
        free(other.data);
        free(table);
        fake_amd_done(&amd);
        fake_amd_done(&forged);
        return 0;
}
