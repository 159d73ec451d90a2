/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The platform's certificate chain: a made-up platform (tests/golden/sev-chain) in every order and with every kind of
 * damage, and AMD's real chains where CVMSPAWN_SHARED has them. */

#include <errno.h>
#include <stdio.h>

#include "test.h"

#include "attest-chain.h"
#include "crypto-hash.h"
#include "encode.h"
#include "fd.h"

typedef struct File {
        char *data;
        size_t size;
} File;

static void file_done(File *f) {
        free(f->data);
}
#define _cleanup_file_ _cleanup_(file_done)

static File load(const char *folder, const char *name) {
        char path[512];
        File f = {};

        assert_true(snprintf(path, sizeof(path), "%s/%s", folder, name) < (int) sizeof(path));
        assert_ok(file_read_all(path, 64 * 1024, &f.data, &f.size));
        return f;
}

static const char *golden(void) {
        static char path[512];

        assert_true(snprintf(path, sizeof(path), "%s/tests/golden/sev-chain", getenv("CVMSPAWN_SOURCE")) <
                        (int) sizeof(path));
        return path;
}

static void add(SevChain *chain, const char *folder, const char *name) {
        _cleanup_file_ File f = load(folder, name);

        assert_ok(sev_chain_add(chain, f.data, f.size, false, NULL));
}

static TrustAnchor test_anchor(void) {
        _cleanup_file_ File f = load(golden(), "ark.fingerprint");
        TrustAnchor a = { .generation = "made-up" };

        f.data[64] = 0;
        assert_ok(hex_decode_exact(f.data, a.fingerprint, sizeof(a.fingerprint)));
        return a;
}

static Verdict verify(const SevChain *chain, const uint8_t *oca, const char *expect_subject,
                const char *expect_check) {
        _cleanup_(sev_chain_report_done) SevChainReport report = {};
        TrustAnchor anchor = test_anchor();
        TrustAnchors anchors = { &anchor, 1 };
        const SevChainStep *problem;

        assert_ok(sev_chain_verify(
                        chain, &(SevChainPolicy) { .anchors = &anchors, .oca_fingerprint = oca }, &report));
        problem = sev_chain_report_problem(&report);
        if (report.verdict == VERDICT_AUTHENTIC) {
                assert_null(problem);
                assert_null(expect_subject);
                assert_string_equal(report.generation, "made-up");
        } else if (expect_subject) {
                assert_non_null(problem);
                assert_string_equal(problem->subject, expect_subject);
                assert_string_equal(problem->check, expect_check);
        }
        return report.verdict;
}

static void whole(SevChain *chain) {
        static const char *const names[] = { "cek-signed.cert", "ark.cert", "pdh.cert", "oca.cert",
                "ask.cert", "pek.cert" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                add(chain, golden(), names[i]);
}

static void good_chain(_unused_ void **state) {
        _cleanup_(sev_chain_report_done) SevChainReport report = {};
        SevChain chain = {};
        uint8_t oca[32];

        whole(&chain);
        assert_int_equal(verify(&chain, NULL, NULL, NULL), VERDICT_AUTHENTIC);
        /* the root is not AMD's: evidence brings its own in vain */
        assert_ok(sev_chain_verify(&chain, &(SevChainPolicy) { .anchors = trust_anchors_amd() }, &report));
        assert_int_equal(report.verdict, VERDICT_NOT_AUTHENTIC);
        assert_string_equal(sev_chain_report_problem(&report)->check, "is a trust anchor");

        assert_ok(hash_digest(HASH_SHA256, chain.oca.raw, SEV_CERT_SIZE, oca));
        assert_int_equal(verify(&chain, oca, NULL, NULL), VERDICT_AUTHENTIC);
        oca[31] ^= 1;
        assert_int_equal(verify(&chain, oca, "OCA", "is the expected owner"), VERDICT_POLICY_NOT_MET);
}

static void missing_is_not_a_forgery(_unused_ void **state) {
        SevChain chain = {}, less;

        assert_int_equal(verify(&chain, NULL, "ARK", "present"), VERDICT_COLLATERAL_UNAVAILABLE);
        whole(&chain);
        less = chain;
        less.has_ark = false;
        assert_int_equal(verify(&less, NULL, "ARK", "present"), VERDICT_COLLATERAL_UNAVAILABLE);
        less = chain;
        less.has_ask = false;
        assert_int_equal(verify(&less, NULL, "ASK", "present"), VERDICT_COLLATERAL_UNAVAILABLE);
        less = chain;
        less.has_oca = false;
        assert_int_equal(verify(&less, NULL, "OCA", "present"), VERDICT_COLLATERAL_UNAVAILABLE);
        less = chain;
        less.has_cek = false;
        assert_int_equal(verify(&less, NULL, "CEK", "present"), VERDICT_COLLATERAL_UNAVAILABLE);
        less = chain;
        less.has_pek = false;
        assert_int_equal(verify(&less, NULL, "PEK", "present"), VERDICT_COLLATERAL_UNAVAILABLE);
        less = chain;
        less.has_pdh = false;
        assert_int_equal(verify(&less, NULL, "PDH", "present"), VERDICT_COLLATERAL_UNAVAILABLE);
}

static void unsigned_cek(_unused_ void **state) {
        SevChain chain = {}, other = {};
        uint8_t raw[SEV_CERT_SIZE];

        whole(&chain);
        chain.has_cek = false;
        add(&chain, golden(), "cek.cert");
        assert_int_equal(verify(&chain, NULL, "CEK", "signed by ASK"), VERDICT_COLLATERAL_UNAVAILABLE);
        add(&chain, golden(), "cek-signed.cert"); /* the same certificate, completed */
        assert_int_equal(verify(&chain, NULL, NULL, NULL), VERDICT_AUTHENTIC);
        add(&chain, golden(), "cek.cert"); /* does not lose the signature again */
        assert_int_equal(verify(&chain, NULL, NULL, NULL), VERDICT_AUTHENTIC);

        add(&other, golden(), "cek.cert");
        memcpy(raw, other.cek.raw, sizeof(raw));
        raw[5] ^= 1;
        assert_error(sev_chain_add(&other, raw, sizeof(raw), false, NULL), EEXIST);
}

/* Each byte of each certificate, changed: refused by the reader or not authentic, never authentic. */
static void every_changed_byte(_unused_ void **state) {
        static const char *const names[] = { "pdh.cert", "pek.cert", "oca.cert", "cek-signed.cert",
                "ask.cert", "ark.cert" };
        SevChain good = {};

        whole(&good);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_file_ File f = load(golden(), names[i]);

                /* all of the headers and of the values; every 61st byte of the long runs of zeros and numbers */
                for (size_t k = 0; k < f.size; k += k < 64 || (k >= 0x414 && k < 0x424) ? 1 : 61) {
                        SevChain chain = good;
                        int r;

                        chain.has_pdh = i != 0;
                        chain.has_pek = i != 1;
                        chain.has_oca = i != 2;
                        chain.has_cek = i != 3;
                        chain.has_ask = i != 4;
                        chain.has_ark = i != 5;
                        f.data[k] ^= 0x04;
                        r = sev_chain_add(&chain, f.data, f.size, false, NULL);
                        f.data[k] ^= 0x04;
                        if (r < 0)
                                assert_true(r == -EBADMSG || r == -EOPNOTSUPP || r == -EEXIST);
                        else
                                assert_int_not_equal(verify(&chain, NULL, NULL, NULL), VERDICT_AUTHENTIC);
                }
        }
}

static void swap_slots(SevCert *c) {
        SevSignature s = c->signatures[0];

        c->signatures[0] = c->signatures[1];
        c->signatures[1] = s;
        sev_cert_format(c);
}

static void slots_in_any_order(_unused_ void **state) {
        SevChain chain = {};

        whole(&chain);
        swap_slots(&chain.pek);
        swap_slots(&chain.pdh);
        assert_int_equal(verify(&chain, NULL, NULL, NULL), VERDICT_AUTHENTIC);

        /* one of the two signatures is not enough, and the same one twice is not two */
        chain.pek.signatures[0] = (SevSignature) { .usage = SEV_USAGE_NONE };
        assert_int_equal(verify(&chain, NULL, "PEK",
                                         chain.pek.signatures[1].usage == SEV_USAGE_CEK ? "signed by OCA"
                                                                                        : "signed by CEK"),
                        VERDICT_NOT_AUTHENTIC);
        chain.pek.signatures[0] = chain.pek.signatures[1];
        assert_int_equal(verify(&chain, NULL, NULL, NULL), VERDICT_NOT_AUTHENTIC);
}

static void wrong_algorithms(_unused_ void **state) {
        SevChain chain = {};

        whole(&chain);
        for (unsigned i = 0; i < SEV_CERT_SIGNATURES; i++)
                if (chain.pdh.signatures[i].usage == SEV_USAGE_PEK)
                        chain.pdh.signatures[i].algorithm = SEV_ALGORITHM_ECDSA_SHA384;
        assert_int_equal(verify(&chain, NULL, "PDH", "signed by PEK"), VERDICT_NOT_AUTHENTIC);
}

/* One long file in the order of `sevctl export --full`, as bytes and as wrapped base64 text. */
static void one_file(_unused_ void **state) {
        static const char *const names[] = { "pdh.cert", "pek.cert", "oca.cert", "cek-signed.cert",
                "ask.cert", "ark.cert" };
        _cleanup_free_ char *text = NULL, *error = NULL;
        char all[SEV_CHAIN_SIZE_MAX], wrapped[2 * SEV_CHAIN_SIZE_MAX];
        SevChain chain = {}, from_text = {}, cut = {};
        size_t n = 0, m = 0;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_file_ File f = load(golden(), names[i]);

                memcpy(all + n, f.data, f.size);
                n += f.size;
        }
        assert_int_equal(n, 11536);
        assert_ok(sev_chain_add(&chain, all, n, false, NULL));
        assert_int_equal(verify(&chain, NULL, NULL, NULL), VERDICT_AUTHENTIC);

        text = base64_encode(all, n);
        for (const char *p = text; *p; p++) {
                wrapped[m++] = *p;
                if ((p - text) % 76 == 75)
                        wrapped[m++] = '\n';
        }
        assert_ok(sev_chain_add(&from_text, wrapped, m, false, NULL));
        assert_int_equal(verify(&from_text, NULL, NULL, NULL), VERDICT_AUTHENTIC);

        assert_error(sev_chain_add(&cut, all, n - 1, false, &error), EBADMSG);
        assert_non_null(strstr(error, "at offset 9936"));
        assert_error(sev_chain_add(&cut, "", 0, false, NULL), EBADMSG);
        assert_error(sev_chain_add(&cut, "hello", 5, false, NULL), EBADMSG);
}

static void formats_round_trip(_unused_ void **state) {
        SevChain chain = {};
        uint8_t raw[SEV_CERT_SIZE], amd[AMD_CERT_SIZE_4096];

        whole(&chain);
        memcpy(raw, chain.pek.raw, sizeof(raw));
        memset(chain.pek.raw, 0xee, sizeof(chain.pek.raw));
        sev_cert_format(&chain.pek);
        assert_memory_equal(raw, chain.pek.raw, sizeof(raw));
        memcpy(amd, chain.ask.raw, sizeof(amd));
        memset(chain.ask.raw, 0xee, sizeof(chain.ask.raw));
        amd_cert_format(&chain.ask);
        assert_memory_equal(amd, chain.ask.raw, sizeof(amd));
}

static void real_chain(const char *folder, const char *generation) {
        _cleanup_(sev_chain_report_done) SevChainReport report = {}, tampered = {};
        SevChain chain = {}, qmp = {};

        add(&chain, folder, "sevctl-full.chain");
        assert_ok(sev_chain_verify(&chain, &(SevChainPolicy) { .anchors = trust_anchors_amd() }, &report));
        assert_int_equal(report.verdict, VERDICT_AUTHENTIC);
        assert_string_equal(report.generation, generation);

        add(&qmp, folder, "pdh-tampered.cert");
        add(&qmp, folder, "qmp-cert-chain.bin");
        add(&qmp, folder, "ask.cert");
        add(&qmp, folder, "ark.cert");
        assert_ok(sev_chain_verify(&qmp, &(SevChainPolicy) { .anchors = trust_anchors_amd() }, &tampered));
        assert_int_equal(tampered.verdict, VERDICT_NOT_AUTHENTIC);
        assert_string_equal(sev_chain_report_problem(&tampered)->subject, "PDH");
}

static void amd_platforms(_unused_ void **state) {
        static const char *const generations[][2] = { { "naples", "Naples" }, { "rome", "Rome" } };
        const char *shared = getenv("CVMSPAWN_SHARED");
        char folder[512];

        if (!shared) {
                print_message("skipped: AMD's certificates are not shipped; put them into "
                              "../shared/testdata\n");
                skip();
        }
        for (size_t i = 0; i < ELEMENTSOF(generations); i++) {
                assert_true(snprintf(folder, sizeof(folder), "%s/testdata/attestation/sev/%s", shared,
                                            generations[i][0]) < (int) sizeof(folder));
                real_chain(folder, generations[i][1]);
        }
}

/* All five published pairs; and the oldest root as it is published, without its signature. */
static void amd_roots(_unused_ void **state) {
        static const char *const generations[][2] = { { "naples", "Naples" }, { "rome", "Rome" },
                { "milan", "Milan" }, { "genoa", "Genoa" }, { "turin", "Turin" } };
        const char *shared = getenv("CVMSPAWN_SHARED");
        char folder[512];

        if (!shared) {
                print_message("skipped: AMD's certificates are not shipped; put them into "
                              "../shared/testdata\n");
                skip();
        }
        for (size_t i = 0; i < ELEMENTSOF(generations); i++) {
                _cleanup_(sev_chain_report_done) SevChainReport report = {};
                SevChain chain = {};

                assert_true(snprintf(folder, sizeof(folder), "%s/testdata/attestation/sev/%s", shared,
                                            generations[i][0]) < (int) sizeof(folder));
                add(&chain, folder, "ask.cert");
                add(&chain, folder, "ark.cert");
                assert_ok(sev_chain_verify(
                                &chain, &(SevChainPolicy) { .anchors = trust_anchors_amd() }, &report));
                assert_int_equal(report.verdict, VERDICT_COLLATERAL_UNAVAILABLE); /* no platform */
                assert_string_equal(report.generation, generations[i][1]);
                for (unsigned k = 0; k < 3; k++) /* anchor, ARK, ASK */
                        assert_int_equal(report.steps[k].verdict, VERDICT_AUTHENTIC);
        }

        for (unsigned accept = 0; accept < 2; accept++) {
                _cleanup_(sev_chain_report_done) SevChainReport report = {};
                SevChain chain = {};
                _cleanup_file_ File f = {};

                assert_true(snprintf(folder, sizeof(folder), "%s/testdata/attestation/sev/naples", shared) <
                                (int) sizeof(folder));
                f = load(folder, "ark.cert.bad");
                assert_error(sev_chain_add(&chain, f.data, f.size, false, NULL), EBADMSG);
                assert_ok(sev_chain_add(&chain, f.data, f.size, true, NULL));
                add(&chain, folder, "ask.cert");
                add(&chain, folder, "pdh.cert");
                add(&chain, folder, "qmp-cert-chain.bin");
                add(&chain, folder, "cek.cert");
                assert_ok(sev_chain_verify(&chain,
                                &(SevChainPolicy) { .anchors = trust_anchors_amd(),
                                                .accept_unsigned_ark = accept },
                                &report));
                assert_int_equal(report.verdict, accept ? VERDICT_AUTHENTIC : VERDICT_NOT_AUTHENTIC);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(good_chain),
                cmocka_unit_test(missing_is_not_a_forgery),
                cmocka_unit_test(unsigned_cek),
                cmocka_unit_test(every_changed_byte),
                cmocka_unit_test(slots_in_any_order),
                cmocka_unit_test(wrong_algorithms),
                cmocka_unit_test(one_file),
                cmocka_unit_test(formats_round_trip),
                cmocka_unit_test(amd_platforms),
                cmocka_unit_test(amd_roots),
        };

        return cmocka_run_group_tests_name("attest: platform chains", tests, NULL, NULL);
}
