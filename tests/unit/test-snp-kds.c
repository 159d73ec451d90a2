/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The key service's grammar; cache, rate limit and outage are tested with a server, in tests/integration/test_snp_report.py. */

#include <errno.h>

#include "test.h"

#include "snp-kds.h"

static void expect_path(const SnpKdsItem *item, const char *expected) {
        char *path = NULL, *error = NULL;

        if (snp_kds_path(item, &path, &error) < 0)
                fail_msg("%s", error);
        assert_string_equal(path, expected);
        free(path);
}

static void paths_are_the_services(_unused_ void **state) {
        SnpReport r = { .reported_tcb = { 4, 0, 0, 0, 0, 0, 24, 219 } };
        SnpKdsItem item = { SNP_KDS_VCEK, SNP_MILAN, &r };
        char *file = NULL;

        memset(r.chip_id, 0xab, 64);
        expect_path(&item,
                        "/vcek/v1/Milan/"
                        "abababababababababababababababababababababababababababababababababababababababababa"
                        "babababababab"
                        "abababababababababababababababab?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219");
        /* Turin: eight bytes of id, another layout, and fmcSPL in front. */
        item.generation = SNP_TURIN;
        memset(r.chip_id + 8, 0, 56);
        memcpy(r.reported_tcb, (uint8_t[]) { 1, 2, 3, 4, 0, 0, 0, 81 }, 8);
        expect_path(&item,
                        "/vcek/v1/Turin/"
                        "abababababababab?fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=81");
        assert_ok(snp_kds_file(&item, &file, NULL));
        assert_string_equal(file, "turin-vcek-abababababababab-0102030400000051.der");
        free(file);

        item = (SnpKdsItem) { SNP_KDS_VCEK_CHAIN, SNP_GENOA, NULL };
        expect_path(&item, "/vcek/v1/Genoa/cert_chain");
        item.kind = SNP_KDS_VLEK_CHAIN;
        expect_path(&item, "/vlek/v1/Genoa/cert_chain");
        item.kind = SNP_KDS_VLEK_CRL;
        expect_path(&item, "/vlek/v1/Genoa/crl");
}

static void what_cannot_be_asked_for_is_said(_unused_ void **state) {
        SnpReport r = { .reported_tcb = { 4, 0, 0, 0, 0, 0, 24, 219 } };
        SnpKdsItem item = { SNP_KDS_VCEK, SNP_MILAN, &r };
        char *path = NULL, *error = NULL;

        assert_error(snp_kds_path(&item, &path, &error), ENODATA);
        assert_non_null(strstr(error, "masks the chip id"));
        free(error);
        error = NULL;
        r.chip_id[0] = 1;
        r.reported_tcb[3] = 1; /* not a Milan's */
        assert_error(snp_kds_path(&item, &path, &error), EBADMSG);
        free(error);
}

static void offline_without_cache_has_nothing(_unused_ void **state) {
        SnpKdsItem item = { SNP_KDS_VCEK_CHAIN, SNP_MILAN, NULL };
        SnpCollateral pool = {};
        char *error = NULL;
        SnpKds k = { .offline = true };

        assert_error(snp_kds_fetch(&k, &item, &pool, &error), ENOENT);
        assert_non_null(strstr(error, "--offline"));
        free(error);
}

static void generations_by_cpuid(_unused_ void **state) {
        static const struct {
                uint8_t family, model;
                SnpGeneration expected;
        } cases[] = {
                { 0x19, 0x01, SNP_MILAN },
                { 0x19, 0x0f, SNP_MILAN },
                { 0x19, 0x10, SNP_GENOA },
                { 0x19, 0xa0, SNP_GENOA },
                { 0x19, 0xaf, SNP_GENOA },
                { 0x19, 0x20, _SNP_GENERATION_INVALID },
                { 0x1a, 0x00, SNP_TURIN },
                { 0x1a, 0x11, SNP_TURIN },
                { 0x1a, 0x12, _SNP_GENERATION_INVALID },
                { 0x1a, 0x50, SNP_VENICE },
                { 0x1a, 0xc7, SNP_VENICE },
                { 0x17, 0x31, _SNP_GENERATION_INVALID },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_int_equal(snp_generation_from_cpuid(cases[i].family, cases[i].model),
                                cases[i].expected);
        assert_int_equal(snp_generation_from_string("Bergamo"), SNP_GENOA);
        assert_int_equal(snp_generation_from_string("rome"), _SNP_GENERATION_INVALID);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(paths_are_the_services),
                cmocka_unit_test(what_cannot_be_asked_for_is_said),
                cmocka_unit_test(offline_without_cache_has_nothing),
                cmocka_unit_test(generations_by_cpuid),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
