/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Addresses of the key service, and whose turn it is. */

#include <errno.h>
#include <stdio.h>

#include "test.h"

#include "collateral-queue.h"
#include "collateral-request.h"

#define HWID                                                                                                \
        "0102030405060708091011121314151617181920212223242526272829303132"                                  \
        "3334353637383940414243444546474849505152535455565758596061626364"

static void spellings_have_one_name(_unused_ void **state) {
        static const char *const same[] = {
                "/vcek/v1/Milan/" HWID "?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219",
                "/vcek/v1/Milan/" HWID "?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219",
                "/vcek/v1/Milan/" HWID "?ucodeSPL=219&snpSPL=024&teeSPL=000&blSPL=004",
        };

        for (size_t i = 0; i < ELEMENTSOF(same); i++) {
                CollateralRequest q = {};

                assert_ok(collateral_request_parse(same[i], &q, NULL));
                assert_int_equal(q.kind, SNP_KDS_VCEK);
                assert_string_equal(q.path, same[0]);
                assert_string_equal(q.name, "milan-vcek-" HWID "-04000000000018db.der");
                collateral_request_done(&q);
        }
}

static void others(_unused_ void **state) {
        static const struct {
                const char *target, *name;
        } cases[] = {
                { "/vcek/v1/Genoa/cert_chain", "genoa-vcek-chain.pem" },
                { "/vlek/v1/Milan/cert_chain", "milan-vlek-chain.pem" },
                { "/vcek/v1/Turin/crl", "turin-vcek-crl.der" },
                { "/vlek/v1/Turin/crl", "turin-vlek-crl.der" },
                { "/vcek/v1/Turin/abababababababab?fmcSPL=1&blSPL=2&teeSPL=3&snpSPL=4&ucodeSPL=81",
                                "turin-vcek-abababababababab-0102030400000051.der" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                CollateralRequest q = {};

                assert_ok(collateral_request_parse(cases[i].target, &q, NULL));
                assert_string_equal(q.name, cases[i].name);
                collateral_request_done(&q);
        }
}

static void not_addresses(_unused_ void **state) {
        static const struct {
                const char *target;
                int error;
        } cases[] = {
                { "", ENOENT },
                { "/", ENOENT },
                { "/vcek/v1/Milan", ENOENT },
                { "/vcek/v1/milan/crl", ENOENT },
                { "/vcek/v1/Milan/crl/", EINVAL },
                { "/vcek/v1/Milan/" HWID, EINVAL },
                { "/vcek/v1/Milan/" HWID "?", EINVAL },
                { "/vcek/v1/Milan/" HWID "?blSPL=4&teeSPL=0&snpSPL=24", EINVAL },
                { "/vcek/v1/Milan/" HWID "?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219&", EINVAL },
                { "/vcek/v1/Milan/" HWID "?blSPL=4&blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219", EINVAL },
                { "/vcek/v1/Milan/" HWID "?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=256", EINVAL },
                { "/vcek/v1/Milan/" HWID "?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=0x1", EINVAL },
                { "/vcek/v1/Milan/" HWID "?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=-1", EINVAL },
                { "/vcek/v1/Milan/" HWID "?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=1&fmcSPL=1", EINVAL },
                { "/vcek/v1/Milan/" HWID "00?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=1", EINVAL },
                { "/vlek/v1/Milan/x?blSPL=4", ENOENT },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                CollateralRequest q = {};
                char *error = NULL;

                assert_error(collateral_request_parse(cases[i].target, &q, &error), cases[i].error);
                assert_non_null(error);
                free(error);
        }
}

static uint64_t ask(CollateralQueue *q, const char *name, const char *client, CollateralTurn turn,
                uint64_t now) {
        const CollateralWish w = { name, "/x", client, turn };
        CollateralDecision decision;
        uint64_t msec = 0;

        assert_ok(collateral_queue_ask(q, &w, now, &decision, &msec));
        assert_int_equal(decision, COLLATERAL_WILL_FETCH);
        return msec;
}

static void expect_next(CollateralQueue *q, uint64_t now, const char *name) {
        uint64_t msec;
        const CollateralEntry *e = collateral_queue_next(q, now, &msec);

        if (!name) {
                assert_null(e);
                return;
        }
        assert_non_null(e);
        assert_string_equal(e->name, name);
}

static void turns(_unused_ void **state) {
        CollateralQueue q = { .interval = 10 };

        ask(&q, "a1", "alice", COLLATERAL_ASKED, 100);
        ask(&q, "a2", "alice", COLLATERAL_ASKED, 100);
        assert_int_equal(ask(&q, "a3", "alice", COLLATERAL_ASKED, 100), 30);
        ask(&q, "ahead", "", COLLATERAL_AHEAD, 100);
        ask(&q, "b1", "bob", COLLATERAL_ASKED, 100);
        ask(&q, "chain", "bob", COLLATERAL_FIRST, 100);
        ask(&q, "a2", "bob", COLLATERAL_ASKED, 100); /* keeps its place */
        assert_int_equal(collateral_queue_length(&q), 6);
        expect_next(&q, 100, "chain");
        expect_next(&q, 200, NULL); /* one at a time */
        collateral_queue_settle(&q, "chain", COLLATERAL_STORED, 0, 105);
        expect_next(&q, 114, NULL);
        expect_next(&q, 115, "a1");
        collateral_queue_settle(&q, "a1", COLLATERAL_STORED, 0, 116);
        expect_next(&q, 126, "b1"); /* bob has not had a turn */
        collateral_queue_settle(&q, "b1", COLLATERAL_STORED, 0, 126);
        expect_next(&q, 136, "a2");
        collateral_queue_settle(&q, "a2", COLLATERAL_STORED, 0, 136);
        expect_next(&q, 146, "a3");
        collateral_queue_settle(&q, "a3", COLLATERAL_STORED, 0, 146);
        expect_next(&q, 156, "ahead");
        collateral_queue_settle(&q, "ahead", COLLATERAL_STORED, 0, 156);
        expect_next(&q, 1000, NULL);
        assert_int_equal(q.n_fetched, 6);
        collateral_queue_done(&q);
}

static void failures(_unused_ void **state) {
        CollateralQueue q = { .interval = 10 };
        const CollateralWish w = { "x", "/x", "alice", COLLATERAL_ASKED };
        CollateralDecision decision;
        uint64_t now = 100, msec;

        ask(&q, "x", "alice", COLLATERAL_ASKED, now);
        /* Doubling pauses, up to 64 times the interval. */
        for (unsigned i = 1; i < 12; i++) {
                uint64_t pause = UINT64_C(10) << (i < 6 ? i : 6);

                expect_next(&q, now, "x");
                collateral_queue_settle(&q, "x", COLLATERAL_LATER, 0, now);
                expect_next(&q, now + pause - 1, NULL);
                now += pause;
        }
        /* What the key service says counts, up to ten minutes. */
        expect_next(&q, now, "x");
        collateral_queue_settle(&q, "x", COLLATERAL_LATER, 5000, now);
        expect_next(&q, now + 4999, NULL);
        expect_next(&q, now + 5000, "x");
        now += 5000;
        collateral_queue_settle(&q, "x", COLLATERAL_LATER, UINT64_MAX, now);
        expect_next(&q, now + COLLATERAL_PAUSE_MSEC, "x");
        now += COLLATERAL_PAUSE_MSEC;
        collateral_queue_settle(&q, "x", COLLATERAL_ABSENT, 0, now);
        assert_ok(collateral_queue_ask(&q, &w, now + 1, &decision, &msec));
        assert_int_equal(decision, COLLATERAL_HAS_NOT);
        ask(&q, "x", "alice", COLLATERAL_ASKED, now + COLLATERAL_UNKNOWN_MSEC);
        collateral_queue_done(&q);
}

static void wrong_answers_step_back(_unused_ void **state) {
        CollateralQueue q = { .interval = 1 };
        uint64_t now = 1000;

        ask(&q, "bad", "alice", COLLATERAL_ASKED, now);
        ask(&q, "good", "alice", COLLATERAL_ASKED, now);
        expect_next(&q, now, "bad");
        collateral_queue_settle(&q, "bad", COLLATERAL_WRONG, 0, now);
        expect_next(&q, now += 100, "good");
        collateral_queue_settle(&q, "good", COLLATERAL_STORED, 0, now);
        for (unsigned i = 0; i < 2; i++) {
                expect_next(&q, now += 100, "bad");
                collateral_queue_settle(&q, "bad", COLLATERAL_WRONG, 0, now);
        }
        expect_next(&q, now += 1000, NULL);
        assert_int_equal(collateral_queue_length(&q), 0);
        collateral_queue_done(&q);
}

static void shares(_unused_ void **state) {
        CollateralQueue q = { .interval = 1 };
        CollateralDecision decision;
        uint64_t msec;
        unsigned refused = 0;

        for (unsigned i = 0; i < 2000; i++) {
                char name[32];
                const CollateralWish w = { name, "/x", "mallory", COLLATERAL_ASKED };

                (void) snprintf(name, sizeof(name), "m%u", i);
                assert_ok(collateral_queue_ask(&q, &w, 5, &decision, &msec));
                refused += decision == COLLATERAL_TOO_MANY;
        }
        assert_int_equal(refused, 2000 - COLLATERAL_SHARE);
        ask(&q, "a", "alice", COLLATERAL_ASKED, 5);
        expect_next(&q, 5, "m0");
        collateral_queue_settle(&q, "m0", COLLATERAL_STORED, 0, 5);
        expect_next(&q, 6, "a");
        /* Nobody has asked again for an hour. */
        collateral_queue_settle(&q, "a", COLLATERAL_STORED, 0, 6);
        expect_next(&q, 5 + COLLATERAL_FORGET_MSEC, NULL);
        assert_int_equal(collateral_queue_length(&q), 0);
        collateral_queue_done(&q);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(spellings_have_one_name),
                cmocka_unit_test(others),
                cmocka_unit_test(not_addresses),
                cmocka_unit_test(turns),
                cmocka_unit_test(failures),
                cmocka_unit_test(wrong_answers_step_back),
                cmocka_unit_test(shares),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
