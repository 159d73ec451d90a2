/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A made-up AMD: root, intermediates, leaves, revocation lists and reports with the names and the layout of the real ones, signed by
 * keys made at test time. Every defect that a verifier must notice can be asked for. DER is written by hand
 * here, so that writer and reader under test share nothing. Failures abort: this is test code. */

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snp-report.h"

typedef struct FakeBytes {
        uint8_t *data; /* owned: free() */
        size_t size;
} FakeBytes;

typedef struct FakeExtension {
        const char *oid; /* "1.3.6.1.4.1.3704.1.3.1" */
        bool critical;
        FakeBytes value; /* content of the OCTET STRING; owned by the specification */
} FakeExtension;

#define FAKE_EXTENSIONS_MAX 40

typedef struct FakeCertificate {
        const char *subject, *issuer; /* common names */
        unsigned serial;
        const char *not_before, *not_after; /* YYMMDDhhmmssZ */
        EVP_PKEY *key, *issuer_key;         /* borrowed */
        int salt;                           /* bytes; 48 is right */
        bool long_parameters;               /* spell the trailer field out, as AMD did until 2024 */
        FakeExtension extensions[FAKE_EXTENSIONS_MAX];
        size_t n_extensions;
} FakeCertificate;

typedef struct FakeAmd {
        SnpGeneration generation;
        EVP_PKEY *ark, *ask, *asvk, *vek; /* owned */
        char ark_name[32], ask_name[32], asvk_name[32];
} FakeAmd;

/* bits: of the RSA keys (AMD's have 4096). */
void fake_amd_init(FakeAmd *a, SnpGeneration g, unsigned bits);
void fake_amd_done(FakeAmd *a);

/* Specifications of the regular certificates, to be spoilt; fake_certificate_done() frees what they own. */
void fake_ark(const FakeAmd *a, FakeCertificate *ret);
void fake_ask(const FakeAmd *a, FakeCertificate *ret);
void fake_asvk(const FakeAmd *a, FakeCertificate *ret);
void fake_vcek(const FakeAmd *a, const SnpTcb *tcb, const uint8_t *hwid, FakeCertificate *ret);
void fake_vlek(const FakeAmd *a, const SnpTcb *tcb, const char *csp_id, FakeCertificate *ret);
void fake_certificate_done(FakeCertificate *c);

void fake_add_extension(FakeCertificate *c, const char *oid, bool critical, FakeBytes value /* taken */);
void fake_add_number(FakeCertificate *c, const char *oid, unsigned number);
void fake_add_text(FakeCertificate *c, const char *oid, const char *text);
/* Removes the extension; false if there was none. */
bool fake_remove_extension(FakeCertificate *c, const char *oid);

FakeBytes fake_certificate_make(const FakeCertificate *c);
/* A list signed by the root; dates YYMMDDhhmmssZ. */
FakeBytes fake_crl_make(const FakeAmd *a, EVP_PKEY *key, const char *this_update, const char *next_update,
                const unsigned *serials, size_t n_serials);

/* A regular report for a chip; then signed over whatever was changed in between. */
void fake_report(const FakeAmd *a, const SnpTcb *tcb, const uint8_t *chip_id, SnpReport *ret);
void fake_report_sign(const FakeAmd *a, uint8_t report[static SNP_REPORT_SIZE]);
/* As fake_report_sign(), until r or s begins with a zero byte. */
void fake_report_sign_short(const FakeAmd *a, uint8_t report[static SNP_REPORT_SIZE], bool *ret_short);
