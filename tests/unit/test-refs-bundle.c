/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reading a bundle: lists of digests that are cut out of the text before it is read as JSON change neither verdict nor message. Finding a member:
 * all of a few families, and a part of many, which is said. */

#include <errno.h>
#include <stdio.h>

#include "test.h"

#include "encode.h"
#include "refs-bundle-internal.h"
#include "sev-cpu.h"
#include "strutil.h"

#define A                                                                                                   \
        "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""
#define B                                                                                                   \
        "\"0bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\""
#define S "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""

#define BUNDLE(name, rows)                                                                                  \
        "{\"format\":\"cvmspawn-refs-v1\",\"generator\":{\"name\":\"x\",\"version\":\"1\"},\"issued\":1,"   \
        "\"launches\":[{\"inputs\":{},\"rows\":[" rows "],\"technology\":\"sev-snp\"}],\"name\":\"" name    \
        "\",\"sequence\":1}\n"
#define ROW(digests) "{\"cpu-model\":\"EPYC-v4\",\"digests\":" digests ",\"vcpu-sig\":8392466,\"vcpus\":1}"

static const struct {
        const char *text;
        bool good;
} texts[] = {
        { BUNDLE("x", ROW("[" A "]")), true },
        { BUNDLE("x", ROW("[" A "," B "]") "," ROW("[" B "]")), true },
        { BUNDLE("x", ROW("[ " A "]") "," ROW("[" B "]")), true },
        { BUNDLE("x", ROW("[" A ", " B "]") "," ROW("[" B "]")), true },
        { BUNDLE("\\\"digests\\\":[\\\"aa\\\"]", ROW("[" A "]")), true },
        /* Empty lists are not lists that were cut. */
        { BUNDLE("x", ROW("[]")), false },
        { BUNDLE("x", ROW("[]") "," ROW("[" A "]")), false },
        { BUNDLE("x", ROW("[" A "]") "," ROW("[]")), false },
        { BUNDLE("x", ROW("[" A "]") "," ROW("0")), false },
        /* Where no digests belong. */
        { BUNDLE("x", ROW("[]") ",{\"digests\":[" A "],\"more\":{\"digests\":[" A "]},\"vcpus\":1}"),
                        false },
        { BUNDLE("x\",\"digests\":[" A "],\"y\":\"", ROW("[" A "]")), false },
        { BUNDLE("x\",\"digests\":[" A "],\"y\":\"", ROW("[]")), false },
        { BUNDLE("x\"digests\":[" A "],\"y\":\"", ROW("[" A "]")), false },
        { BUNDLE("x\\\"digests\":[" A "],\"y\":\"", ROW("[" A "]")), false },
        { BUNDLE("x", ROW("[" A "],\"digests\":[" A "]")), false },
        /* Digests that are none. */
        { BUNDLE("x", ROW("[" S "]")), false },
        { BUNDLE("x", ROW("[" A "," S "]")), false },
        { BUNDLE("x", ROW("[" A "," A)), false },
        { BUNDLE("x", ROW("[" A A "]")), false },
        { BUNDLE("x",
                          ROW("[\"g"
                              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]")),
                        false },
        { "{\"digests\":[" A "]}", false },
        { "\"digests\":[" A "]", false },
        { "\"digests\":[\"", false },
        { "\"digests\":[" A, false },
        { "", false },
};

static void cutting_changes_nothing(_unused_ void **state) {
        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts)) {
                _cleanup_(refs_bundle_done) RefsBundle a = {}, b = {};
                _cleanup_free_ char *reason = NULL, *uncut = NULL, *first = NULL, *second = NULL;
                _cleanup_js_ Json *j = NULL;
                int r = refs_bundle_parse(t->text, strlen(t->text), &a, &reason),
                    k = js_parse(t->text, strlen(t->text), &j, &uncut);

                if (k >= 0)
                        k = refs_bundle_read(j, NULL, &b, &uncut);
                if (r != k || (r == 0) != t->good)
                        printf("%s\n%s\n", t->text, reason ?: "accepted");
                assert_int_equal(r, k);
                assert_int_equal(r == 0, t->good);
                if (r < 0) {
                        assert_string_equal(reason, uncut);
                        continue;
                }
                assert_int_equal(refs_bundle_text(&a, &first), 0);
                assert_int_equal(refs_bundle_text(&b, &second), 0);
                assert_string_equal(first, second);
        }
}

/* --- members --------------------------------------------------------------------------------------------------------- */

#define MANY 3000u

static void bundle_of(RefsBundle *b, size_t n) {
        *b = (RefsBundle) { .launches = calloc(n, sizeof(RefsLaunch)) };
        assert_non_null(b->launches);
        for (size_t i = 0; i < n; i++) {
                RefsLaunch *l = b->launches + b->n_launches++;

                *l = (RefsLaunch) {
                        .mode = COCO_SEV_SNP, .digest_size = 48, .has_family = true, .family_vcpus = 512
                };
                l->family = (LaunchFamily) {
                        .mode = COCO_SEV_SNP, .profile = VMM_QEMU, .reset_address = 0x80b004, .features = 1
                };
                memcpy(l->family.seed, &i, sizeof(i));
                l->runs = calloc(1, sizeof(RefsRun));
                assert_non_null(l->runs);
                l->n_runs = 1;
                *l->runs = (RefsRun) { .signature = sev_cpu_signature(23, 1, 2),
                        .has_signature = true,
                        .vcpus = 1,
                        .digests = calloc(1, 48),
                        .n = 1 };
                assert_non_null(l->runs->digests);
        }
}

static void members(_unused_ void **state) {
        const uint32_t own = sev_cpu_signature(23, 1, 2), turin = sev_cpu_signature(26, 0, 0);
        static const struct {
                size_t n;
                unsigned vcpus;
                bool own, found, partial;
        } cases[] = {
                { 3, 512, true, true, false },
                { 3, 512, false, true, false },
                { 3, 513, true, false, false },
                { MANY, 300, true, true, false },
                { MANY, 16, false, true, false },
                { MANY, 512, false, false, true },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_(refs_bundle_done) RefsBundle b = {};
                LaunchDigest d;
                RefsMatch m = {};
                uint32_t signature = c->own ? own : turin;

                bundle_of(&b, c->n);
                assert_int_equal(launch_family_digest(&b.launches[c->n - 1].family, c->vcpus, signature, &d),
                                0);
                assert_int_equal(refs_bundle_find(&b, d.bytes, d.size, 0, &m, NULL), c->found);
                assert_int_equal(m.partial, c->partial);
                if (!c->found)
                        continue;
                assert_ptr_equal(m.launch, b.launches + c->n - 1);
                assert_null(m.run);
                assert_int_equal(m.vcpus, c->vcpus);
                assert_int_equal(m.signature, signature);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(cutting_changes_nothing),
                cmocka_unit_test(members) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
