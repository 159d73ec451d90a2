/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The table of technologies: every row is whole, and names lead back to it. */

#include "test.h"

#include "coco.h"
#include "guest-policy.h"
#include "macro.h"

static void rows_are_whole(_unused_ void **state) {
        for (int m = COCO_NONE; m < _COCO_MODE_MAX; m++) {
                const Coco *c = coco_of((CocoMode) m);

                assert_non_null(c->name);
                assert_non_null(c->label);
                assert_int_equal(coco_mode_from_string(c->name), m);
                assert_string_equal(coco_mode_to_string((CocoMode) m), c->name);
                if (m == COCO_NONE)
                        continue;
                /* A technology may have no attestation service yet. */
                assert_true(c->scheme || c->event_log);
                if (c->scheme)
                        assert_int_equal(coco_mode_from_scheme(c->scheme), m);
                assert_non_null(c->firmware_feature);
                assert_true(c->digest_size == 32 || c->digest_size == 48);
                assert_non_null(c->policy.words);
                assert_non_null(c->policy.wrong);
                /* The default is one that the technology takes, and lets nobody debug. */
                assert_true(coco_policy_fits(c, c->policy.initial));
                assert_false(coco_policy_allows_debug(c, c->policy.initial));
        }
}

static size_t count_words(const char *list) {
        size_t n = *list != 0;

        for (const char *s = list; *s; s++)
                n += *s == ' ';
        return n;
}

/* What completion offers is what the tables have. */
static void policy_names(_unused_ void **state) {
        static const struct {
                CocoMode mode;
                const char *names;
        } lists[] = { { COCO_SEV, COCO_SEV_POLICY_NAMES }, { COCO_SEV_ES, COCO_SEV_POLICY_NAMES },
                { COCO_SEV_SNP, COCO_SNP_POLICY_NAMES }, { COCO_TDX, COCO_TDX_POLICY_NAMES } };

        FOREACH_ARRAY(l, lists, ELEMENTSOF(lists)) {
                size_t n = 0;

                for (const CocoPolicyWord *w = coco_of(l->mode)->policy.words; w->word; w++, n++) {
                        const char *at = strstr(l->names, w->word);

                        assert_non_null(at);
                }
                assert_int_equal(n, count_words(l->names));
        }
}

static void what_is_not_there(_unused_ void **state) {
        assert_int_equal(coco_mode_from_string("amd-sev"), _COCO_MODE_INVALID);
        assert_int_equal(coco_mode_from_scheme("sev"), _COCO_MODE_INVALID);
        assert_int_equal(coco_mode_from_scheme(NULL), _COCO_MODE_INVALID);
        assert_null(coco_mode_to_string(_COCO_MODE_INVALID));
        assert_ptr_equal(coco_of(_COCO_MODE_INVALID), coco_of(COCO_NONE));
}

static void policies(_unused_ void **state) {
        static const struct {
                CocoMode mode;
                uint64_t policy;
                bool fits, debug;
        } cases[] = {
                { COCO_SEV, 0x3, true, false },
                { COCO_SEV, 0x2, true, true },
                { COCO_SEV, 0x7, false, false },
                { COCO_SEV, UINT64_C(0x100000003), false, false },
                { COCO_SEV_ES, 0x7, true, false },
                { COCO_SEV_ES, 0x6, true, true },
                { COCO_SEV_ES, 0x3, false, false },
                { COCO_SEV_SNP, 0x30000, true, false },
                { COCO_SEV_SNP, 0xb0000, true, true },
                { COCO_SEV_SNP, 0x10000, false, false },
                { COCO_TDX, 0x10000000, true, false },
                { COCO_TDX, UINT64_C(0x8000000050000000), true, false },
                { COCO_TDX, 0x10000001, true, true },
                { COCO_TDX, 0x10000002, false, false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const Coco *c = coco_of(cases[i].mode);

                assert_int_equal(coco_policy_fits(c, cases[i].policy), cases[i].fits);
                assert_int_equal(coco_policy_allows_debug(c, cases[i].policy), cases[i].debug);
        }
        assert_int_equal(coco_of(COCO_SEV)->policy.initial, 0x3);
        assert_int_equal(coco_of(COCO_SEV_ES)->policy.initial, 0x7);
        assert_int_equal(coco_of(COCO_SEV_SNP)->policy.initial, 0x30000);
        assert_int_equal(coco_of(COCO_TDX)->policy.initial, 0x10000000);
}

static void objects(_unused_ void **state) {
        assert_int_equal(coco_mode_from_object("sev-guest", 0x3), COCO_SEV);
        assert_int_equal(coco_mode_from_object("sev-guest", 0x5), COCO_SEV_ES);
        assert_int_equal(coco_mode_from_object("sev-snp-guest", 0x30000), COCO_SEV_SNP);
        assert_int_equal(coco_mode_from_object("sev-snp-guest", 0), COCO_SEV_SNP);
        assert_int_equal(coco_mode_from_object("tdx-guest", 0), COCO_TDX);
        assert_int_equal(coco_mode_from_object("memory-backend-memfd", 0), COCO_NONE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(rows_are_whole),
                cmocka_unit_test(policy_names),
                cmocka_unit_test(what_is_not_there),
                cmocka_unit_test(policies),
                cmocka_unit_test(objects),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
