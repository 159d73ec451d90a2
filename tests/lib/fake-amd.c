/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fake-amd.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(x)                                                                                             \
        ({                                                                                                  \
                if (!(x)) {                                                                                 \
                        fprintf(stderr, "fake-amd: %s failed\n", #x);                                       \
                        abort();                                                                            \
                }                                                                                           \
        })

static void put(FakeBytes *b, const void *p, size_t n) {
        b->data = realloc(b->data, b->size + n + 1);
        MUST(b->data);
        if (n > 0)
                memcpy(b->data + b->size, p, n);
        b->size += n;
}

/* tag, length, content */
static void put_tlv(FakeBytes *out, uint8_t tag, const void *p, size_t n) {
        uint8_t head[5] = { tag };
        size_t k = 1;

        if (n < 0x80)
                head[k++] = (uint8_t) n;
        else {
                unsigned bytes = n < 0x100 ? 1 : n < 0x10000 ? 2 : 3;

                head[k++] = (uint8_t) (0x80 | bytes);
                while (bytes-- > 0)
                        head[k++] = (uint8_t) (n >> (8 * bytes));
        }
        put(out, head, k);
        put(out, p, n);
}

static void put_take(FakeBytes *out, uint8_t tag, FakeBytes *inside) {
        put_tlv(out, tag, inside->data, inside->size);
        free(inside->data);
        *inside = (FakeBytes) {};
}

static void put_number(FakeBytes *out, unsigned v) {
        uint8_t be[5] = { 0, (uint8_t) (v >> 24), (uint8_t) (v >> 16), (uint8_t) (v >> 8), (uint8_t) v };
        size_t skip = 0;

        while (skip < 4 && be[skip] == 0 && be[skip + 1] < 0x80)
                skip++;
        put_tlv(out, 0x02, be + skip, sizeof(be) - skip);
}

static void put_oid(FakeBytes *out, const char *dotted) {
        FakeBytes b = {};
        char *copy = strdup(dotted), *save = NULL;
        unsigned first = 0;
        size_t n = 0;

        MUST(copy);
        for (char *s = strtok_r(copy, ".", &save); s; s = strtok_r(NULL, ".", &save), n++) {
                unsigned v = (unsigned) strtoul(s, NULL, 10);
                uint8_t groups[5];
                size_t k = 0;

                if (n == 0) {
                        first = v;
                        continue;
                }
                if (n == 1)
                        v += first * 40;
                do
                        groups[k++] = (uint8_t) (v & 0x7f);
                while (v >>= 7);
                while (k-- > 0) {
                        uint8_t c = (uint8_t) (groups[k] | (k > 0 ? 0x80 : 0));

                        put(&b, &c, 1);
                }
        }
        free(copy);
        put_take(out, 0x06, &b);
}

static void put_name(FakeBytes *out, const char *common_name) {
        const struct {
                const char *oid, *value;
                uint8_t tag;
        } rdns[] = {
                { "2.5.4.11", "Engineering", 0x0c },
                { "2.5.4.6", "US", 0x13 },
                { "2.5.4.7", "Santa Clara", 0x0c },
                { "2.5.4.8", "CA", 0x0c },
                { "2.5.4.10", "Advanced Micro Devices", 0x0c },
                { "2.5.4.3", common_name, 0x0c },
        };
        FakeBytes name = {};

        for (size_t i = 0; i < ELEMENTSOF(rdns); i++) {
                FakeBytes pair = {}, set = {};

                put_oid(&pair, rdns[i].oid);
                put_tlv(&pair, rdns[i].tag, rdns[i].value, strlen(rdns[i].value));
                put_take(&set, 0x30, &pair);
                put_take(&name, 0x31, &set);
        }
        put_take(out, 0x30, &name);
}

static void put_sha384(FakeBytes *out) {
        FakeBytes b = {};

        put_oid(&b, "2.16.840.1.101.3.4.2.2");
        put_tlv(&b, 0x05, NULL, 0);
        put_take(out, 0x30, &b);
}

static void put_pss(FakeBytes *out, int salt, bool trailer) {
        FakeBytes algorithm = {}, parameters = {}, b = {}, mgf = {};

        put_sha384(&b);
        put_take(&parameters, 0xa0, &b);
        put_oid(&mgf, "1.2.840.113549.1.1.8");
        put_sha384(&mgf);
        put_take(&b, 0x30, &mgf);
        put_take(&parameters, 0xa1, &b);
        put_number(&b, (unsigned) salt);
        put_take(&parameters, 0xa2, &b);
        if (trailer) {
                put_number(&b, 1);
                put_take(&parameters, 0xa3, &b);
        }
        put_oid(&algorithm, "1.2.840.113549.1.1.10");
        put_take(&algorithm, 0x30, &parameters);
        put_take(out, 0x30, &algorithm);
}

/* RSASSA-PSS over SHA-384; the salt used may differ from what the algorithm field says. */
static FakeBytes sign_pss(EVP_PKEY *key, int salt, const FakeBytes *tbs) {
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        EVP_PKEY_CTX *p = NULL;
        FakeBytes sig = {};

        MUST(c && EVP_DigestSignInit(c, &p, EVP_sha384(), NULL, key) == 1);
        MUST(EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING) == 1);
        MUST(EVP_PKEY_CTX_set_rsa_pss_saltlen(p, salt) == 1);
        MUST(EVP_DigestSign(c, NULL, &sig.size, tbs->data, tbs->size) == 1);
        sig.data = malloc(sig.size);
        MUST(sig.data && EVP_DigestSign(c, sig.data, &sig.size, tbs->data, tbs->size) == 1);
        EVP_MD_CTX_free(c);
        return sig;
}

static FakeBytes wrap_signed(FakeBytes *tbs, EVP_PKEY *key, int salt, bool trailer) {
        FakeBytes sig, bits = {}, body = {}, out = {};

        sig = sign_pss(key, salt, tbs);
        put(&body, tbs->data, tbs->size);
        free(tbs->data);
        put_pss(&body, 48, trailer);
        put(&bits, "", 1); /* no unused bits */
        put(&bits, sig.data, sig.size);
        free(sig.data);
        put_take(&body, 0x03, &bits);
        put_take(&out, 0x30, &body);
        return out;
}

static void put_public_key(FakeBytes *out, EVP_PKEY *key) {
        unsigned char *der = NULL;
        int n = i2d_PUBKEY(key, &der);

        MUST(n > 0);
        put(out, der, (size_t) n);
        OPENSSL_free(der);
}

static void put_extensions(FakeBytes *out, const FakeCertificate *c) {
        FakeBytes list = {}, wrapped = {};

        for (size_t i = 0; i < c->n_extensions; i++) {
                const FakeExtension *e = c->extensions + i;
                FakeBytes b = {};

                put_oid(&b, e->oid);
                if (e->critical)
                        put_tlv(&b, 0x01, "\xff", 1);
                put_tlv(&b, 0x04, e->value.data, e->value.size);
                put_take(&list, 0x30, &b);
        }
        put_take(&wrapped, 0x30, &list);
        put_take(out, 0xa3, &wrapped);
}

FakeBytes fake_certificate_make(const FakeCertificate *c) {
        FakeBytes tbs = {}, b = {}, out = {};

        put_number(&b, 2);
        put_take(&tbs, 0xa0, &b);
        put_number(&tbs, c->serial);
        put_pss(&tbs, 48, c->long_parameters);
        put_name(&tbs, c->issuer);
        put_tlv(&b, 0x17, c->not_before, strlen(c->not_before));
        put_tlv(&b, 0x17, c->not_after, strlen(c->not_after));
        put_take(&tbs, 0x30, &b);
        put_name(&tbs, c->subject);
        put_public_key(&tbs, c->key);
        put_extensions(&tbs, c);
        put_take(&out, 0x30, &tbs);
        return wrap_signed(&out, c->issuer_key, c->salt, c->long_parameters);
}

FakeBytes fake_crl_make(const FakeAmd *a, EVP_PKEY *key, const char *this_update, const char *next_update,
                const unsigned *serials, size_t n_serials) {
        FakeBytes tbs = {}, list = {}, out = {};

        put_number(&tbs, 1);
        put_pss(&tbs, 48, false);
        put_name(&tbs, a->ark_name);
        put_tlv(&tbs, 0x17, this_update, strlen(this_update));
        if (next_update)
                put_tlv(&tbs, 0x17, next_update, strlen(next_update));
        for (size_t i = 0; i < n_serials; i++) {
                FakeBytes entry = {};

                put_number(&entry, serials[i]);
                put_tlv(&entry, 0x17, this_update, strlen(this_update));
                put_take(&list, 0x30, &entry);
        }
        if (n_serials > 0)
                put_take(&tbs, 0x30, &list);
        put_take(&out, 0x30, &tbs);
        return wrap_signed(&out, key, 48, false);
}

void fake_add_extension(FakeCertificate *c, const char *oid, bool critical, FakeBytes value) {
        MUST(c->n_extensions < FAKE_EXTENSIONS_MAX);
        c->extensions[c->n_extensions++] = (FakeExtension) { oid, critical, value };
}

void fake_add_number(FakeCertificate *c, const char *oid, unsigned number) {
        FakeBytes b = {};

        put_number(&b, number);
        fake_add_extension(c, oid, false, b);
}

void fake_add_text(FakeCertificate *c, const char *oid, const char *text) {
        FakeBytes b = {};

        put_tlv(&b, 0x16, text, strlen(text));
        fake_add_extension(c, oid, false, b);
}

bool fake_remove_extension(FakeCertificate *c, const char *oid) {
        for (size_t i = 0; i < c->n_extensions; i++)
                if (strcmp(c->extensions[i].oid, oid) == 0) {
                        free(c->extensions[i].value.data);
                        memmove(c->extensions + i, c->extensions + i + 1,
                                        (--c->n_extensions - i) * sizeof(FakeExtension));
                        return true;
                }
        return false;
}

void fake_certificate_done(FakeCertificate *c) {
        for (size_t i = 0; i < c->n_extensions; i++)
                free(c->extensions[i].value.data);
        *c = (FakeCertificate) {};
}

void fake_amd_init(FakeAmd *a, SnpGeneration g, unsigned bits) {
        const char *product = snp_generation_product(g);

        *a = (FakeAmd) { .generation = g };
        a->ark = EVP_RSA_gen(bits);
        a->ask = EVP_RSA_gen(bits);
        a->asvk = EVP_RSA_gen(bits);
        a->vek = EVP_EC_gen("P-384");
        MUST(a->ark && a->ask && a->asvk && a->vek);
        (void) snprintf(a->ark_name, sizeof(a->ark_name), "ARK-%s", product);
        (void) snprintf(a->ask_name, sizeof(a->ask_name), "SEV-%s", product);
        (void) snprintf(a->asvk_name, sizeof(a->asvk_name), "SEV-VLEK-%s", product);
}

void fake_amd_done(FakeAmd *a) {
        EVP_PKEY_free(a->ark);
        EVP_PKEY_free(a->ask);
        EVP_PKEY_free(a->asvk);
        EVP_PKEY_free(a->vek);
        *a = (FakeAmd) {};
}

static void authority(FakeCertificate *c, bool root) {
        FakeBytes b = {}, value = {};

        put_tlv(&b, 0x01, "\xff", 1);
        if (!root)
                put_number(&b, 0);
        put_take(&value, 0x30, &b);
        fake_add_extension(c, "2.5.29.19", true, value);
        value = (FakeBytes) {};
        /* certSign, and cRLSign for the root. */
        put_tlv(&value, 0x03, root ? "\x01\x06" : "\x02\x04", 2);
        fake_add_extension(c, "2.5.29.15", true, value);
}

static void regular(FakeCertificate *c) {
        c->not_before = "200101000000Z";
        c->not_after = "450101000000Z";
        c->salt = 48;
}

void fake_ark(const FakeAmd *a, FakeCertificate *ret) {
        *ret = (FakeCertificate) { .subject = a->ark_name,
                .issuer = a->ark_name,
                .serial = 0x10000,
                .key = a->ark,
                .issuer_key = a->ark,
                .long_parameters = true };
        regular(ret);
        authority(ret, true);
}

void fake_ask(const FakeAmd *a, FakeCertificate *ret) {
        *ret = (FakeCertificate) { .subject = a->ask_name,
                .issuer = a->ark_name,
                .serial = 0x10001,
                .key = a->ask,
                .issuer_key = a->ark,
                .long_parameters = true };
        regular(ret);
        authority(ret, false);
}

void fake_asvk(const FakeAmd *a, FakeCertificate *ret) {
        fake_ask(a, ret);
        ret->subject = a->asvk_name;
        ret->serial = 0x10101;
        ret->key = a->asvk;
}

static void leaf(const FakeAmd *a, const SnpTcb *tcb, FakeCertificate *c) {
        bool turin = snp_generation_has_tcb_part(a->generation, SNP_TCB_FMC);

        regular(c);
        c->key = a->vek;
        fake_add_number(c, "1.3.6.1.4.1.3704.1.1", turin);
        fake_add_text(c, "1.3.6.1.4.1.3704.1.2",
                        a->generation == SNP_MILAN ? "Milan-B0" : snp_generation_product(a->generation));
        if (turin)
                fake_add_number(c, "1.3.6.1.4.1.3704.1.3.9", tcb->part[SNP_TCB_FMC]);
        fake_add_number(c, "1.3.6.1.4.1.3704.1.3.1", tcb->part[SNP_TCB_BOOTLOADER]);
        fake_add_number(c, "1.3.6.1.4.1.3704.1.3.2", tcb->part[SNP_TCB_TEE]);
        if (!turin)
                fake_add_number(c, "1.3.6.1.4.1.3704.1.3.4", 0);
        fake_add_number(c, "1.3.6.1.4.1.3704.1.3.5", 0);
        fake_add_number(c, "1.3.6.1.4.1.3704.1.3.6", 0);
        fake_add_number(c, "1.3.6.1.4.1.3704.1.3.7", 0);
        fake_add_number(c, "1.3.6.1.4.1.3704.1.3.3", tcb->part[SNP_TCB_SNP]);
        fake_add_number(c, "1.3.6.1.4.1.3704.1.3.8", tcb->part[SNP_TCB_MICROCODE]);
}

void fake_vcek(const FakeAmd *a, const SnpTcb *tcb, const uint8_t *hwid, FakeCertificate *ret) {
        FakeBytes id = {};

        *ret = (FakeCertificate) { .subject = "SEV-VCEK", .issuer = a->ask_name, .issuer_key = a->ask };
        leaf(a, tcb, ret);
        put(&id, hwid, snp_generation_chip_id_size(a->generation));
        fake_add_extension(ret, "1.3.6.1.4.1.3704.1.4", false, id);
}

void fake_vlek(const FakeAmd *a, const SnpTcb *tcb, const char *csp_id, FakeCertificate *ret) {
        *ret = (FakeCertificate) { .subject = "SEV-VLEK", .issuer = a->asvk_name, .issuer_key = a->asvk };
        leaf(a, tcb, ret);
        fake_add_text(ret, "1.3.6.1.4.1.3704.1.5", csp_id);
}

void fake_report(const FakeAmd *a, const SnpTcb *tcb, const uint8_t *chip_id, SnpReport *ret) {
        static const uint8_t cpuid[][3] = {
                [SNP_MILAN] = { 0x19, 0x01, 0x01 },
                [SNP_GENOA] = { 0x19, 0x11, 0x01 },
                [SNP_TURIN] = { 0x1a, 0x02, 0x01 },
                [SNP_VENICE] = { 0x1a, 0x50, 0x00 },
        };
        SnpReport r = { .version = 5,
                .policy = 0x30000,
                .signature_algorithm = SNP_SIGNATURE_ALGORITHM_P384,
                .platform_info = 0x25,
                .cpuid_family = cpuid[a->generation][0],
                .cpuid_model = cpuid[a->generation][1],
                .cpuid_stepping = cpuid[a->generation][2],
                .current_version = { 1, 55, 40 },
                .committed_version = { 1, 55, 40 } };

        memset(r.measurement, 0xaa, sizeof(r.measurement));
        memset(r.report_data, 0xbb, sizeof(r.report_data));
        memset(r.report_id_ma, 0xff, sizeof(r.report_id_ma));
        memcpy(r.chip_id, chip_id, snp_generation_chip_id_size(a->generation));
        snp_tcb_encode(tcb, a->generation, r.current_tcb);
        memcpy(r.reported_tcb, r.current_tcb, SNP_TCB_SIZE);
        memcpy(r.committed_tcb, r.current_tcb, SNP_TCB_SIZE);
        memcpy(r.launch_tcb, r.current_tcb, SNP_TCB_SIZE);
        *ret = r;
}

void fake_report_sign(const FakeAmd *a, uint8_t report[static SNP_REPORT_SIZE]) {
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        uint8_t der[128], r[48], s[48];
        const unsigned char *p = der;
        SnpSignatureAbi sig;
        size_t n = sizeof(der);
        ECDSA_SIG *e;

        MUST(c && EVP_DigestSignInit(c, NULL, EVP_sha384(), NULL, a->vek) == 1);
        MUST(EVP_DigestSign(c, der, &n, report, SNP_REPORT_SIGNED_SIZE) == 1);
        EVP_MD_CTX_free(c);
        e = d2i_ECDSA_SIG(NULL, &p, (long) n);
        MUST(e && BN_bn2binpad(ECDSA_SIG_get0_r(e), r, 48) == 48 &&
                        BN_bn2binpad(ECDSA_SIG_get0_s(e), s, 48) == 48);
        ECDSA_SIG_free(e);
        snp_signature_encode(r, s, &sig);
        memcpy(report + SNP_REPORT_SIGNED_SIZE, &sig, sizeof(sig));
}

void fake_report_sign_short(const FakeAmd *a, uint8_t report[static SNP_REPORT_SIZE], bool *ret_short) {
        /* One signature in 256 has a short r, one in 256 a short s. */
        for (unsigned i = 0; i < 4096; i++) {
                fake_report_sign(a, report);
                if (report[SNP_REPORT_SIGNED_SIZE + 47] == 0 ||
                                report[SNP_REPORT_SIGNED_SIZE + 72 + 47] == 0) {
                        *ret_short = true;
                        return;
                }
        }
        *ret_short = false;
}
