/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The key service's grammar, and what enters the cache; rate limit and outage are tested with a server, in
 * tests/integration/test_snp_report.py. */

#include <errno.h>

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "snp-world.h"

#include "fd.h"
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

/* A mirror: each kind of item comes from one of two made-up AMDs. */
typedef struct Mirror {
        World *world;
        bool forge_leaf, forge_chain, forge_list;
        unsigned asked;
} Mirror;

static FakeBytes make_chain(const FakeAmd *amd) {
        FakeCertificate ark, ask;
        FakeBytes a, b;

        fake_ark(amd, &ark);
        fake_ask(amd, &ask);
        a = fake_certificate_make(&ask);
        b = fake_certificate_make(&ark);
        fake_certificate_done(&ark);
        fake_certificate_done(&ask);
        a.data = realloc(a.data, a.size + b.size);
        assert_non_null(a.data);
        memcpy(a.data + a.size, b.data, b.size);
        a.size += b.size;
        free(b.data);
        return a;
}

static int mirror_get(void *userdata, const char *url, _unused_ size_t max, unsigned *ret_status,
                _unused_ unsigned *ret_retry_after, uint8_t **ret, size_t *ret_size,
                _unused_ char **reterr) {
        Mirror *m = userdata;
        World *w = m->world;
        FakeBytes b;

        m->asked++;
        *ret_status = 200;
        if (strstr(url, "cert_chain"))
                b = make_chain(m->forge_chain ? &w->other : &w->amd);
        else if (strstr(url, "/crl")) {
                unsigned serial = 0x20000;

                b = fake_crl_make(&w->amd, m->forge_list ? w->other.ark : w->amd.ark, "260901000000Z",
                                "261001000000Z", &serial, 1);
        } else {
                FakeCertificate leaf;

                fake_vcek(m->forge_leaf ? &w->other : &w->amd, &w->tcb, w->chip, &leaf);
                b = fake_certificate_make(&leaf);
                fake_certificate_done(&leaf);
        }
        *ret = b.data;
        *ret_size = b.size;
        return 0;
}

static int64_t mirror_clock(_unused_ void *userdata) {
        return NOW;
}

static void mirror_wait(_unused_ void *userdata, _unused_ unsigned seconds) {
}

static unsigned files_in(const char *folder, bool remove) {
        DIR *d = opendir(folder);
        unsigned n = 0;

        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));) {
                n += strstr(e->d_name, "milan-") == e->d_name;
                if (remove && e->d_name[0] != '.')
                        assert_ok(unlinkat(dirfd(d), e->d_name, 0));
        }
        closedir(d);
        return n;
}

/* Verifies with an empty pool, from cache and mirror. */
static Verdict verify_through(World *w, Mirror *m, const char *cache, bool offline) {
        const SnpKds k = { .url = "http://mirror",
                .cache = cache,
                .offline = offline,
                .now = NOW,
                .get = mirror_get,
                .clock = mirror_clock,
                .wait = mirror_wait,
                .userdata = m };
        const SnpVerifyInput in = { .report = w->raw,
                .report_size = w->raw_size,
                .collateral = &w->pool,
                .trust = &w->trust,
                .now = NOW,
                .generation = w->stated,
                .crl = w->crl };

        snp_collateral_done(&w->pool);
        snp_result_done(&w->result);
        assert_ok(snp_kds_verify(&k, &in, &w->result));
        return w->result.authentic ? VERDICT_AUTHENTIC : w->result.verdict;
}

/* One lie of a mirror, whatever it is about, leaves no trace: nothing is kept, the verdict is that something is missing, and the next
 * honest answer is verified and kept. */
static void a_lie_of_a_mirror_does_not_stay(_unused_ void **state) {
        for (unsigned lie = 0; lie < 3; lie++)
                WITH_WORLD(w, &shared_milan) {
                        char folder[] = "/tmp/test-snp-kds.XXXXXX";
                        Mirror m = { .world = &w,
                                .forge_leaf = lie == 0,
                                .forge_chain = lie == 1,
                                .forge_list = lie == 2 };

                        assert_non_null(mkdtemp(folder));
                        trust_ark(&w, &w.ark);
                        w.crl = lie == 2 ? SNP_CRL_REQUIRED : SNP_CRL_IF_AVAILABLE;
                        encode_and_sign(&w);
                        assert_int_equal(verify_through(&w, &m, folder, false),
                                        VERDICT_COLLATERAL_UNAVAILABLE);
                        if (!strstr(w.result.sentence, "does not verify up to the pinned root"))
                                fail_msg("%s", w.result.sentence);
                        assert_in_range(m.asked, 1, 8);
                        m = (Mirror) { .world = &w };
                        assert_int_equal(verify_through(&w, &m, folder, false), VERDICT_AUTHENTIC);
                        assert_int_equal(files_in(folder, false), lie == 2 ? 3 : 2);
                        m.asked = 0;
                        assert_int_equal(verify_through(&w, &m, folder, true), VERDICT_AUTHENTIC);
                        assert_int_equal(m.asked, 0);
                        files_in(folder, true);
                        assert_ok(rmdir(folder));
                }
}

static void write_file(const char *folder, const char *name, FakeBytes b) {
        char path[512];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        f = fopen(path, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(b.data, 1, b.size, f), b.size);
        assert_ok(fclose(f));
        free(b.data);
}

/* Forged files that lie in the cache already, from before or from another writer: dropped, and fetched once more. */
static void a_forged_file_in_the_cache_is_replaced(_unused_ void **state) {
        for (unsigned lie = 0; lie < 2; lie++)
                WITH_WORLD(w, &shared_milan) {
                        char folder[] = "/tmp/test-snp-kds.XXXXXX", *name = NULL;
                        SnpKdsItem item = { SNP_KDS_VCEK, SNP_MILAN, &w.report };
                        FakeCertificate leaf;
                        Mirror m = { .world = &w };

                        assert_non_null(mkdtemp(folder));
                        trust_ark(&w, &w.ark);
                        encode_and_sign(&w);
                        assert_int_equal(verify_through(&w, &m, folder, false), VERDICT_AUTHENTIC);
                        fake_vcek(&w.other, &w.tcb, w.chip, &leaf);
                        assert_ok(snp_kds_file(&item, &name, NULL));
                        if (lie == 0)
                                write_file(folder, name, fake_certificate_make(&leaf));
                        else
                                write_file(folder, "milan-vcek-chain.pem", make_chain(&w.other));
                        fake_certificate_done(&leaf);
                        free(name);

                        /* Offline the lie is found, and gone. */
                        snp_trust_done(&w.trust);
                        trust_ark(&w, &w.ark);
                        assert_int_equal(verify_through(&w, &m, folder, true),
                                        VERDICT_COLLATERAL_UNAVAILABLE);
                        assert_int_equal(files_in(folder, false), 1);
                        m.asked = 0;
                        assert_int_equal(verify_through(&w, &m, folder, false), VERDICT_AUTHENTIC);
                        assert_int_equal(m.asked, 1);
                        files_in(folder, true);
                        assert_ok(rmdir(folder));
                }
}

/* What somebody else fetched is kept under the right name only. */
static void stored_is_what_verifies_under_its_name(_unused_ void **state) {
        WITH_WORLD(w, &shared_milan) {
                char folder[] = "/tmp/test-snp-kds.XXXXXX", *name = NULL;
                const SnpKds k = { .cache = folder, .trust = &w.trust, .now = NOW };
                SnpKdsItem item = { SNP_KDS_VCEK, SNP_MILAN, &w.report };
                FakeBytes chain = make_chain(&w.amd), forged = make_chain(&w.other),
                          leaf = fake_certificate_make(&w.leaf);

                assert_non_null(mkdtemp(folder));
                trust_ark(&w, &w.ark);
                assert_ok(snp_kds_file(&item, &name, NULL));
                assert_error(snp_kds_store(&k, name, leaf.data, leaf.size, NULL),
                                EKEYREJECTED); /* no chain yet */
                assert_error(snp_kds_store(&k, "milan-vcek-chain.pem", forged.data, forged.size, NULL),
                                EKEYREJECTED);
                assert_error(snp_kds_store(&k, "genoa-vcek-chain.pem", chain.data, chain.size, NULL),
                                EKEYREJECTED);
                assert_error(snp_kds_store(&k, "milan-vlek-chain.pem", chain.data, chain.size, NULL),
                                EKEYREJECTED);
                assert_ok(snp_kds_store(&k, "milan-vcek-chain.pem", chain.data, chain.size, NULL));
                name[strlen("milan-vcek-")] ^= 1; /* another chip */
                assert_error(snp_kds_store(&k, name, leaf.data, leaf.size, NULL), EKEYREJECTED);
                name[strlen("milan-vcek-")] ^= 1;
                assert_ok(snp_kds_store(&k, name, leaf.data, leaf.size, NULL));
                assert_int_equal(files_in(folder, true), 2);
                assert_ok(rmdir(folder));
                free(name);
                free(chain.data);
                free(forged.data);
                free(leaf.data);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(paths_are_the_services),
                cmocka_unit_test(what_cannot_be_asked_for_is_said),
                cmocka_unit_test(offline_without_cache_has_nothing),
                cmocka_unit_test(generations_by_cpuid),
                cmocka_unit_test(a_lie_of_a_mirror_does_not_stay),
                cmocka_unit_test(a_forged_file_in_the_cache_is_replaced),
                cmocka_unit_test(stored_is_what_verifies_under_its_name),
        };

        return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
