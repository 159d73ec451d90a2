/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Every SNP file of the optional test data (real reports, certificates, wrappers; see its index.json) against what the
 * index lists for it. Without the data there is nothing to test, which is a skip. */

#include <errno.h>
#include <stdio.h>

#include "test.h"

#include "crypto-x509.h"
#include "encode.h"
#include "fd.h"
#include "json.h"
#include "snp-evidence.h"
#include "snp-verify.h"
#include "strutil.h"

#define DAY INT64_C(86400)

static char *folder;
static Json *index_json;

static char *read_data(const char *name, size_t *ret_size) {
        char path[4096], *data = NULL;

        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        if (file_read_all(path, 4 * 1024 * 1024, &data, ret_size) < 0)
                fail_msg("cannot read %s", path);
        return data;
}

static const char *text_of(const Json *j, const char *key) {
        const char *s = js_string_value(js_get(j, key));

        return s ?: "";
}

#define FOREACH_FILE(f, prefix)                                                                             \
        for (size_t _i_ = 0; _i_ < js_length(js_get(index_json, "files")); _i_++)                           \
                for (const Json *f = js_at(js_get(index_json, "files"), _i_); f; f = NULL)                  \
                        if (startswith(text_of(f, "file"), prefix))

static void add_authorities(SnpCollateral *pool) {
        FOREACH_FILE(f, "snp/ca/") {
                size_t n;
                char *p = read_data(text_of(f, "file"), &n), *error = NULL;

                if (snp_collateral_add(pool, p, n, text_of(f, "file"), false, &error) < 0)
                        fail_msg("%s: %s", text_of(f, "file"), error);
                free(p);
        }
}

static void authorities_are_the_pinned_ones(_unused_ void **state) {
        SnpCollateral pool = {};
        size_t n_roots = 0;
        SnpTrust trust;

        snp_trust_init(&trust);
        add_authorities(&pool);
        assert_int_equal(pool.n_certificates, 9); /* the PEM chains hold the same nine */
        for (size_t i = 0; i < pool.n_certificates; i++)
                if (pool.certificates[i]->role == SNP_ROLE_ARK) {
                        assert_int_equal(
                                        snp_trust_offer(&trust, pool.certificates[i]->certificate, NULL), 1);
                        n_roots++;
                }
        assert_int_equal(n_roots, 3);
        for (size_t i = 0; i < pool.n_certificates; i++)
                assert_ok(certificate_verify(pool.certificates[i]->certificate,
                                trust.roots[pool.certificates[i]->generation].certificate));
        FOREACH_FILE(f, "snp/ca/") {
                uint8_t spki[SHA256_SIZE];
                Certificate *c = NULL;
                char *p, *hex;
                size_t n;

                if (!js_get(f, "spki_sha256"))
                        continue;
                p = read_data(text_of(f, "file"), &n);
                assert_ok(certificate_new(p, n, &c, NULL));
                assert_ok(certificate_fingerprint(c, spki));
                hex = hex_encode(spki, sizeof(spki));
                assert_string_equal(hex, text_of(f, "spki_sha256"));
                free(hex);
                free(p);
                certificate_free(c);
        }
        snp_collateral_done(&pool);
        snp_trust_done(&trust);
}

/* Whether some known intermediate signed the leaf. */
static bool is_signed(const SnpCollateral *authorities, const Certificate *leaf) {
        for (size_t i = 0; i < authorities->n_certificates; i++)
                if (certificate_verify(leaf, authorities->certificates[i]->certificate) == 0)
                        return true;
        return false;
}

static void leaves_are_as_listed(_unused_ void **state) {
        SnpCollateral authorities = {};
        size_t seen = 0;

        add_authorities(&authorities);
        FOREACH_FILE(f, "snp/leaf/") {
                bool good = !strstr(text_of(f, "expected"), "rejected");
                char *error = NULL, *p;
                Certificate *c = NULL;
                SnpLeaf leaf;
                size_t n;
                int r;

                seen++;
                p = read_data(text_of(f, "file"), &n);
                r = certificate_new(p, n, &c, &error);
                if (good) {
                        if (r < 0 || snp_leaf_read(c, &leaf, &error) < 0)
                                fail_msg("%s: %s", text_of(f, "file"), error);
                        assert_true(is_signed(&authorities, c));
                } else
                        assert_false(r == 0 && is_signed(&authorities, c));
                free(error);
                free(p);
                certificate_free(c);
        }
        assert_true(seen > 0);
        snp_collateral_done(&authorities);
}

static void verify_with(const uint8_t *report, size_t size, const char *leaf_file, SnpResult *ret) {
        SnpCollateral pool = {};
        SnpVerifyInput in = { .report = report, .report_size = size, .generation = _SNP_GENERATION_INVALID };
        SnpTrust trust;

        snp_trust_init(&trust);
        add_authorities(&pool);
        if (leaf_file) {
                size_t n;
                char *p = read_data(leaf_file, &n);

                assert_ok(snp_collateral_add(&pool, p, n, leaf_file, true, NULL));
                free(p);
                in.now = pool.certificates[pool.n_certificates - 1]->certificate->not_before + DAY;
        }
        in.collateral = &pool;
        in.trust = &trust;
        assert_ok(snp_verify(&in, ret));
        ret->leaf = ret->intermediate = NULL;
        snp_collateral_done(&pool);
        snp_trust_done(&trust);
}

static void check_fields(const Json *f, const SnpReport *r) {
        const Json *fields = js_get(f, "fields");
        char *hex, text[32];
        uint64_t v;

        assert_ok(js_u64_value(js_get(fields, "version"), &v));
        assert_int_equal(v, r->version);
        assert_ok(js_u64_value(js_get(fields, "guest_svn"), &v));
        assert_int_equal(v, r->guest_svn);
        assert_ok(js_u64_value(js_get(fields, "vmpl"), &v));
        assert_int_equal(v, r->vmpl);
        (void) snprintf(text, sizeof(text), "0x%llx", (unsigned long long) r->policy);
        assert_string_equal(text, text_of(fields, "policy"));
        (void) snprintf(text, sizeof(text), "0x%llx", (unsigned long long) r->platform_info);
        assert_string_equal(text, text_of(fields, "platform_info"));
        hex = hex_encode(r->measurement, sizeof(r->measurement));
        assert_string_equal(hex, text_of(fields, "measurement"));
        free(hex);
        hex = hex_encode(r->report_data, sizeof(r->report_data));
        assert_string_equal(hex, text_of(fields, "report_data"));
        free(hex);
        hex = hex_encode(r->current_tcb, sizeof(r->current_tcb));
        assert_string_equal(hex, text_of(fields, "current_tcb"));
        free(hex);
}

static void reports_give_the_listed_result(_unused_ void **state) {
        size_t good = 0, bad = 0;

        FOREACH_FILE(f, "snp/report/") {
                const Json *by = js_get(f, "verified_by");
                uint8_t again[SNP_REPORT_SIZE];
                char *error = NULL, *p;
                SnpReport report;
                size_t n;

                p = read_data(text_of(f, "file"), &n);
                if (strstr(text_of(f, "kind"), "negative")) {
                        SnpResult result;

                        bad++;
                        /* The derived negatives come from a Turin report whose leaf is here. */
                        verify_with((uint8_t *) p, n, "snp/leaf/turin_ms.der", &result);
                        assert_int_equal(result.verdict, VERDICT_NOT_AUTHENTIC);
                        snp_result_done(&result);
                        free(p);
                        continue;
                }
                if (snp_report_decode(p, n, &report, &error) < 0)
                        fail_msg("%s: %s", text_of(f, "file"), error);
                snp_report_encode(&report, again);
                assert_memory_equal(again, p, SNP_REPORT_SIZE);
                check_fields(f, &report);
                for (size_t i = 0; i < js_length(by); i++) {
                        SnpResult result;

                        verify_with((uint8_t *) p, n, text_of(js_at(by, i), "leaf"), &result);
                        if (!result.authentic)
                                fail_msg("%s: %s", text_of(f, "file"), result.sentence);
                        snp_result_done(&result);
                        good++;
                }
                free(p);
        }
        assert_true(good > 0 && bad > 0);
}

/* The negative with a flipped bit of the measurement is a real Turin's but for that bit: of all bits there is one that makes it
 * authentic again when it is flipped back. */
static void one_bit_made_a_turin_report_forged(_unused_ void **state) {
        size_t n, found = 0;
        char *p = read_data("snp/report/neg_measurement_bit.bin", &n);

        assert_int_equal(n, SNP_REPORT_SIZE);
        for (size_t bit = 0; bit < 48 * 8; bit++) {
                SnpResult result;

                p[0x90 + bit / 8] ^= (char) (1 << bit % 8);
                verify_with((uint8_t *) p, n, "snp/leaf/turin_ms.der", &result);
                found += result.authentic;
                if (result.authentic)
                        assert_int_equal(result.generation, SNP_TURIN);
                snp_result_done(&result);
                p[0x90 + bit / 8] ^= (char) (1 << bit % 8);
        }
        assert_int_equal(found, 1);
        free(p);
}

static void wrappers_hold_a_report(_unused_ void **state) {
        FOREACH_FILE(f, "snp/hcl/") {
                char *error = NULL, *p;
                SnpEvidence e;
                SnpReport report;
                size_t n;

                p = read_data(text_of(f, "file"), &n);
                if (snp_evidence_read(p, n, &e, &error) < 0 ||
                                snp_report_decode(e.report, e.report_size, &report, &error) < 0)
                        fail_msg("%s: %s", text_of(f, "file"), error);
                free(p);
        }
}

static void tables_are_as_listed(_unused_ void **state) {
        FOREACH_FILE(f, "snp/certtable/") {
                bool negative = strstr(text_of(f, "kind"), "negative");
                SnpCollateral pool = {};
                SnpCertTable t;
                size_t n;
                char *p;
                int r;

                p = read_data(text_of(f, "file"), &n);
                r = snp_cert_table_decode(p, n, &t, NULL);
                assert_int_equal(r == 0, !negative);
                if (!negative) {
                        uint8_t *again = NULL;
                        size_t size;

                        assert_int_equal(t.n_entries, 3);
                        assert_ok(snp_collateral_add_table(&pool, &t, "table"));
                        assert_int_equal(pool.n_certificates, 3);
                        assert_ok(snp_cert_table_encode(&t, &again, &size));
                        assert_int_equal(size, n);
                        free(again);
                }
                snp_collateral_done(&pool);
                free(p);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(authorities_are_the_pinned_ones),
                cmocka_unit_test(leaves_are_as_listed),
                cmocka_unit_test(reports_give_the_listed_result),
                cmocka_unit_test(one_bit_made_a_turin_report_forged),
                cmocka_unit_test(wrappers_hold_a_report),
                cmocka_unit_test(tables_are_as_listed),
        };
        const char *shared = getenv("CVMSPAWN_SHARED");
        char *text = NULL, *error = NULL;
        size_t size;
        int r;

        if (!shared || asprintf(&folder, "%s/testdata/attestation", shared) < 0) {
                puts("skipped: the optional test data (CVMSPAWN_SHARED) with real reports is not here");
                return 77;
        }
        text = read_data("index.json", &size);
        if (js_parse(text, size, &index_json, &error) < 0) {
                puts(error);
                return 1;
        }
        r = cmocka_run_group_tests(tests, NULL, NULL);
        js_unref(index_json);
        free(text);
        free(folder);
        return r;
}
