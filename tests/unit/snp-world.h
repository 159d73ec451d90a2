/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A report with its made-up chain, regular at first and to be spoilt; what the tests of verifier and policy share. */

#include <errno.h>

#include "test.h"

#include "fake-amd.h"
#include "snp-policy.h"
#include "snp-verify.h"

#define NOW INT64_C(1790000000) /* 2026-09-21 */

typedef struct World {
        FakeAmd amd, other; /* other: the same names, other keys */
        SnpTcb tcb;
        uint8_t chip[64];
        FakeCertificate ark, ask, asvk, leaf;
        SnpReport report;
        uint8_t raw[SNP_REPORT_SIZE + 8];
        size_t raw_size;
        SnpTrust trust;
        SnpCollateral pool;
        SnpCrlMode crl;
        SnpGeneration stated;
        SnpResult result;
} World;

static FakeAmd shared_milan, shared_other, shared_turin; /* made once a run: keys are slow */

static void world_init(World *w, const FakeAmd *amd) {
        *w = (World) { .amd = *amd, .other = shared_other, .raw_size = SNP_REPORT_SIZE };
        w->stated = _SNP_GENERATION_INVALID;
        w->tcb = (SnpTcb) { { snp_generation_has_tcb_part(amd->generation, SNP_TCB_FMC) ? 1 : 0, 4, 1, 24,
                        219 } };
        for (size_t i = 0; i < sizeof(w->chip); i++)
                w->chip[i] = (uint8_t) (i + 2); /* begins like a DER INTEGER: must not matter */
        fake_ark(&w->amd, &w->ark);
        fake_ask(&w->amd, &w->ask);
        fake_asvk(&w->amd, &w->asvk);
        fake_vcek(&w->amd, &w->tcb, w->chip, &w->leaf);
        fake_report(&w->amd, &w->tcb, w->chip, &w->report);
        snp_trust_init(&w->trust);
}

_unused_ static void use_vlek(World *w) {
        fake_certificate_done(&w->leaf);
        fake_vlek(&w->amd, &w->tcb, "CN=cloud.example", &w->leaf);
        w->report.signing_key = SNP_SIGNING_KEY_VLEK;
        memset(w->report.chip_id, 0, sizeof(w->report.chip_id));
}

static void add(World *w, const FakeCertificate *spec) {
        FakeBytes der = fake_certificate_make(spec);
        char *error = NULL;

        assert_ok(snp_collateral_add(&w->pool, der.data, der.size, spec->subject, false, &error));
        free(error);
        free(der.data);
}

static void trust_ark(World *w, const FakeCertificate *spec) {
        FakeBytes der = fake_certificate_make(spec);
        Certificate *c = NULL;

        assert_ok(certificate_new(der.data, der.size, &c, NULL));
        assert_ok(snp_trust_insecure_acknowledging_forgery(&w->trust, c, NULL));
        certificate_free(c);
        free(der.data);
}

static void encode_and_sign(World *w) {
        snp_report_encode(&w->report, w->raw);
        fake_report_sign(&w->amd, w->raw);
}

static void verify_again(World *w) {
        SnpVerifyInput in = { .report = w->raw,
                .report_size = w->raw_size,
                .collateral = &w->pool,
                .trust = &w->trust,
                .now = NOW,
                .generation = w->stated,
                .crl = w->crl };

        snp_result_done(&w->result);
        assert_ok(snp_verify(&in, &w->result));
}

_unused_ static void verify(World *w) {
        trust_ark(w, &w->ark);
        add(w, &w->ark);
        add(w, &w->ask);
        add(w, &w->asvk);
        add(w, &w->leaf);
        encode_and_sign(w);
        verify_again(w);
}

static void world_done(World *w) {
        fake_certificate_done(&w->ark);
        fake_certificate_done(&w->ask);
        fake_certificate_done(&w->asvk);
        fake_certificate_done(&w->leaf);
        snp_result_done(&w->result);
        snp_collateral_done(&w->pool);
        snp_trust_done(&w->trust);
}

_unused_ static void expect(const World *w, Verdict v, SnpStep step, const char *sentence) {
        assert_false(w->result.authentic);
        if (w->result.verdict != v || w->result.step != step)
                print_message("%s: %s\n", snp_step_to_string(w->result.step), w->result.sentence);
        assert_int_equal(w->result.verdict, v);
        assert_int_equal(w->result.step, step);
        assert_non_null(w->result.sentence);
        if (!strstr(w->result.sentence, sentence))
                fail_msg("'%s' lacks '%s'", w->result.sentence, sentence);
}

#define WITH_WORLD(w, amd)                                                                                  \
        for (World w, *_once_ = (world_init(&w, amd), &w); _once_; world_done(&w), _once_ = NULL)

static int make_keys(_unused_ void **state) {
        fake_amd_init(&shared_milan, SNP_MILAN, 2048);
        fake_amd_init(&shared_other, SNP_MILAN, 2048);
        fake_amd_init(&shared_turin, SNP_TURIN, 2048);
        return 0;
}

static int drop_keys(_unused_ void **state) {
        fake_amd_done(&shared_milan);
        fake_amd_done(&shared_other);
        fake_amd_done(&shared_turin);
        return 0;
}
