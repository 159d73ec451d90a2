/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How fast TD quotes are verified, beside the bare signature checks of the same library in the same run on the same core.
 *
 *     b/bench/bench-verify-tdx SECONDS NOW QUOTE ROOT COLLATERAL...
 *
 * bench/verify calls it with the files of a made-up Intel. Each quote brings a chain that is not known yet: five P-256 verifications (root, CA, PCK certificate,
 * report of the quoting enclave, quote). The collateral was verified before. The ceiling is what these five alone would allow. */

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fd.h"
#include "td-policy.h"

#define SIGNATURES 5

#define MUST(x)                                                                                             \
        ({                                                                                                  \
                if (!(x)) {                                                                                 \
                        fprintf(stderr, "bench-verify-tdx: %s failed\n", #x);                               \
                        exit(1);                                                                            \
                }                                                                                           \
        })

typedef struct Bench {
        double seconds;
        int64_t now;
        char *quote; /* owned */
        size_t size;
        TdTrust trust;
        TdCollateral pool;
        P256Key *key; /* of the quote */
        TdQuote parsed;
} Bench;

/* Processor time, as openssl speed counts: others on the machine do not matter. */
static double now(void) {
        struct timespec t;

        MUST(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* Calls per second. */
static double rate(void (*function)(Bench *), Bench *b) {
        double start = now(), end = start + b->seconds, t = start;
        size_t n = 0;

        do {
                function(b);
                n++;
                t = now();
        } while (t < end);
        return (double) n / (t - start);
}

static void verify(Bench *b) {
        TdVerifyInput in = { .quote = (const uint8_t *) b->quote,
                .quote_size = b->size,
                .collateral = &b->pool,
                .trust = &b->trust,
                .now = b->now,
                .crl = SNP_CRL_REQUIRED };
        Violations violations = {};
        TdResult result;
        TdPolicy policy;

        td_policy_init(&policy);
        MUST(td_verify(&in, &result) == 0 && result.authentic);
        for (int f = TD_FIELD_MEASUREMENT; f <= TD_FIELD_REPORT_DATA; f++)
                MUST(td_policy_accept(&policy, (TdField) f, td_field_bytes(&result.quote, (TdField) f),
                                     NULL) == 0);
        MUST(td_policy_judge(&policy, &result, &violations, NULL) == 0 &&
                        result.verdict == VERDICT_VERIFIED);
        violations_done(&violations);
        td_policy_done(&policy);
        td_result_done(&result);
}

static void check(Bench *b) {
        MUST(p256_key_verify(b->key, b->parsed.signed_part.data, b->parsed.signed_part.size,
                             b->parsed.signature.data) == 0);
}

static void add(TdCollateral *pool, const char *path) {
        char *data = NULL;
        size_t size;

        MUST(file_read_all(path, 1024 * 1024, &data, &size) == 0);
        MUST(td_collateral_add(pool, data, size, path, NULL) == 0);
        free(data);
}

static void set_up(Bench *b, char **files) {
        TdCollateral root = {};

        MUST(file_read_all(files[0], TD_QUOTE_SIZE_MAX, &b->quote, &b->size) == 0);
        MUST(td_quote_parse((const uint8_t *) b->quote, b->size, &b->parsed, NULL) == 0);
        MUST(p256_key_new(b->parsed.key.data, &b->key) == 0);
        add(&root, files[1]);
        td_trust_init(&b->trust);
        MUST(root.n_certificates == 1 &&
                        td_trust_insecure_acknowledging_forgery(&b->trust, root.certificates->certificate) ==
                                        0);
        td_collateral_done(&root);
        for (char **f = files + 2; *f; f++)
                add(&b->pool, *f);
}

int main(int argc, char **argv) {
        double checks, full, ceiling;
        cpu_set_t one;
        Bench b = {};

        MUST(argc > 5);
        b.seconds = strtod(argv[1], NULL);
        b.now = strtoll(argv[2], NULL, 10);
        CPU_ZERO(&one);
        CPU_SET((size_t) sched_getcpu(), &one);
        (void) sched_setaffinity(0, sizeof(one), &one);
        set_up(&b, argv + 3);
        verify(&b); /* the collateral is known from here on */

        checks = rate(check, &b);
        full = rate(verify, &b);
        ceiling = checks / SIGNATURES;
        printf("p256 verifications      %8.0f /s\n", checks);
        printf("TD quotes               %8.0f /s, %3.0f %% of %.0f\n", full, 100 * full / ceiling, ceiling);

        p256_key_free(b.key);
        td_collateral_done(&b.pool);
        free(b.quote);
        return 0;
}
