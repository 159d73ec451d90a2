/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How fast SNP reports are verified, beside the bare signature checks of the same library in the same run on the same core.
 *
 *     ninja -C b bench-verify && b/bench/bench-verify [SECONDS]
 *
 * full: leaf and intermediate from bytes each time (root prepared once): two RSA-4096 and one P-384 verification.
 * cached: the same chain is known: one P-384 verification. The ceilings are what the signature checks alone would allow; the
 * figures of `openssl speed` are printed by bench/verify. */

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto-ec.h"
#include "crypto-x509.h"
#include "fake-amd.h"
#include "snp-policy.h"
#include "snp-verify.h"

#define MUST(x)                                                                                             \
        ({                                                                                                  \
                if (!(x)) {                                                                                 \
                        fprintf(stderr, "bench-verify: %s failed\n", #x);                                   \
                        exit(1);                                                                            \
                }                                                                                           \
        })

static double seconds;
static FakeBytes ark, ask, vcek;
static uint8_t raw[SNP_REPORT_SIZE];
static SnpTrust trust;

/* Processor time, as openssl speed counts: others on the machine do not matter. */
static double now(void) {
        struct timespec t;

        MUST(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* Calls per second. */
static double rate(void (*function)(void *), void *userdata) {
        double start = now(), end = start + seconds, t = start;
        size_t n = 0;

        do {
                function(userdata);
                n++;
                t = now();
        } while (t < end);
        return (double) n / (t - start);
}

static void verify(SnpCollateral *pool) {
        SnpVerifyInput in = { .report = raw,
                .report_size = sizeof(raw),
                .collateral = pool,
                .trust = &trust,
                .now = 1790000000,
                .generation = _SNP_GENERATION_INVALID };
        Violations violations = {};
        SnpResult result = {};
        SnpPolicy policy;

        snp_policy_init(&policy);
        MUST(snp_verify(&in, &result) == 0 && result.authentic);
        MUST(snp_policy_accept(&policy, SNP_FIELD_MEASUREMENT, result.report.measurement, NULL) == 0);
        MUST(snp_policy_accept(&policy, SNP_FIELD_REPORT_DATA, result.report.report_data, NULL) == 0);
        MUST(snp_policy_judge(&policy, &result, &violations, NULL) == 0 &&
                        result.verdict == VERDICT_VERIFIED);
        violations_done(&violations);
        snp_policy_done(&policy);
        snp_result_done(&result);
}

static void add(SnpCollateral *pool, const FakeBytes *der) {
        MUST(snp_collateral_add(pool, der->data, der->size, "bench", false, NULL) == 0);
}

static void run_full(_unused_ void *userdata) {
        SnpCollateral pool = {};

        add(&pool, &ask);
        add(&pool, &vcek);
        verify(&pool);
        snp_collateral_done(&pool);
}

static void run_cached(void *userdata) {
        verify(userdata);
}

static void run_rsa(void *userdata) {
        Certificate **pair = userdata;

        MUST(certificate_verify(pair[0], pair[1]) == 0);
}

typedef struct Bare {
        const EcKey *key;
        EcSignature sig;
} Bare;

static void run_ecdsa(void *userdata) {
        const Bare *b = userdata;

        MUST(ec_key_verify(b->key, HASH_SHA384, raw, SNP_REPORT_SIGNED_SIZE, &b->sig) == 0);
}

static void make_world(void) {
        SnpTcb tcb = { { 0, 4, 0, 24, 219 } };
        uint8_t chip[64] = { 1, 2, 3 };
        Certificate *root = NULL;
        FakeCertificate c;
        SnpReport report;
        FakeAmd amd;

        fake_amd_init(&amd, SNP_MILAN, 4096);
        fake_ark(&amd, &c);
        ark = fake_certificate_make(&c);
        fake_certificate_done(&c);
        fake_ask(&amd, &c);
        ask = fake_certificate_make(&c);
        fake_certificate_done(&c);
        fake_vcek(&amd, &tcb, chip, &c);
        vcek = fake_certificate_make(&c);
        fake_certificate_done(&c);
        fake_report(&amd, &tcb, chip, &report);
        snp_report_encode(&report, raw);
        fake_report_sign(&amd, raw);
        fake_amd_done(&amd);

        snp_trust_init(&trust);
        MUST(certificate_new(ark.data, ark.size, &root, NULL) == 0);
        MUST(snp_trust_insecure_acknowledging_forgery(&trust, root, NULL) == 0);
        MUST(snp_trust_offer(&trust, root, NULL) == 1);
        certificate_free(root);
}

int main(int argc, char **argv) {
        Certificate *pair[2] = {};
        SnpCollateral pool = {};
        cpu_set_t one;
        SnpReport report;
        double full, cached, rsa, ecdsa, ceiling;
        Bare bare;

        seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
        CPU_ZERO(&one);
        CPU_SET((size_t) sched_getcpu(), &one);
        (void) sched_setaffinity(0, sizeof(one), &one);

        make_world();
        add(&pool, &ask);
        add(&pool, &vcek);
        MUST(certificate_new(vcek.data, vcek.size, &pair[0], NULL) == 0);
        MUST(certificate_new(ask.data, ask.size, &pair[1], NULL) == 0);
        MUST(snp_report_decode(raw, sizeof(raw), &report, NULL) == 0);
        bare.key = pair[0]->ec;
        memcpy(bare.sig.r, report.signature_r, sizeof(bare.sig.r));
        memcpy(bare.sig.s, report.signature_s, sizeof(bare.sig.s));

        rsa = rate(run_rsa, pair);
        ecdsa = rate(run_ecdsa, &bare);
        full = rate(run_full, NULL);
        cached = rate(run_cached, &pool);
        ceiling = 1 / (2 / rsa + 1 / ecdsa);
        printf("rsa4096 verifications   %8.0f /s\n", rsa);
        printf("p384 verifications      %8.0f /s\n", ecdsa);
        printf("full verification       %8.0f /s, %3.0f %% of %.0f\n", full, 100 * full / ceiling, ceiling);
        printf("with a cached chain     %8.0f /s, %3.0f %% of %.0f\n", cached, 100 * cached / ecdsa, ecdsa);

        certificate_free(pair[0]);
        certificate_free(pair[1]);
        snp_collateral_done(&pool);
        snp_trust_done(&trust);
        free(ark.data);
        free(ask.data);
        free(vcek.data);
        return 0;
}
