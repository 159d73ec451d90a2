/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What people get wrong, tried on each family of a bundle. No file is needed: what comes before the VMSAs is in the family. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "measure-change.h"
#include "refs-judge.h"
#include "sev-cpu.h"
#include "strutil.h"

#define DIGESTS_MAX 1000000u /* that are computed for one answer: half a second */

typedef struct Search {
        const uint8_t *digest;
        uint32_t signature; /* that the report names, or 0 */
        size_t spent;
} Search;

void refs_nearest_done(RefsNearest *n) {
        free(n->text);
        *n = (RefsNearest) {};
}

static bool is_spent(const Search *s) {
        return s->spent >= DIGESTS_MAX;
}

/* 1 if the family, changed as it is, has the digest. */
static int try_family(Search *s, const LaunchFamily *f, unsigned vcpus, FamilyMember *ret) {
        if (is_spent(s))
                return 0;
        s->spent += (size_t) vcpus * (launch_family_has_signature(f) ? 16 : 1);
        return launch_family_find(f, s->digest, vcpus, s->signature, ret);
}

/* The row that the difference is about: that of as many vCPUs and this CPU, else the first. */
static int say(const RefsLaunch *l, const FamilyMember *m, Text *difference, RefsNearest *ret) {
        _cleanup_free_ char *row = NULL, *launch = NULL, *text = NULL;
        _cleanup_(text_done) Text t = {};
        const RefsRun *run = l->runs;
        size_t at = 0;
        int r = text_finish(difference, &text);

        FOREACH_ARRAY(x, l->runs, l->n_runs)
                if (x->has_signature && x->signature == m->signature && m->vcpus >= x->vcpus &&
                                m->vcpus - x->vcpus < x->n) {
                        run = x;
                        at = m->vcpus - x->vcpus;
                }
        if (r >= 0)
                r = refs_row_text(run, at, &row);
        if (r >= 0)
                r = refs_launch_text(l, &launch);
        if (r < 0)
                return r;
        text_putf(&t, "row %s; %s; the report has %s", row, launch, text);
        if (run->vcpus + at != m->vcpus && m->vcpus <= l->family_vcpus)
                text_putf(&t, " (with %u vCPU%s)", m->vcpus, m->vcpus == 1 ? "" : "s");
        r = text_finish(&t, &ret->text);
        if (r < 0)
                return r;
        ret->launch = l;
        return 1;
}

/* More vCPUs than the bundle lets its family cover. */
static int try_vcpus(Search *s, const RefsLaunch *l, RefsNearest *ret) {
        _cleanup_(text_done) Text t = {};
        FamilyMember m;
        int r = l->family_vcpus >= FAMILY_VCPUS_MAX
                        ? 0
                        : try_family(s, &l->family, MIN(l->family_vcpus * 2, FAMILY_VCPUS_MAX), &m);

        if (r <= 0)
                return r;
        text_putf(&t, "%u vCPUs, where the family covers up to %u", m.vcpus, l->family_vcpus);
        return say(l, &m, &t, ret);
}

static int try_features(Search *s, const RefsLaunch *l, RefsNearest *ret) {
        const uint64_t *features;
        size_t n;

        features = change_known_features(&n);
        FOREACH_ARRAY(x, features, n) {
                _cleanup_(text_done) Text t = {};
                LaunchFamily f = l->family;
                FamilyMember m;
                int r;

                if (*x == f.features)
                        continue;
                f.features = *x;
                r = try_family(s, &f, l->family_vcpus, &m);
                if (r == 0)
                        continue;
                text_putf(&t, "guest features 0x%" PRIx64 " instead of 0x%" PRIx64, *x, l->family.features);
                return r < 0 ? r : say(l, &m, &t, ret);
        }
        return 0;
}

static int try_profiles(Search *s, const RefsLaunch *l, RefsNearest *ret) {
        for (int p = 0; p < _VMM_PROFILE_MAX; p++) {
                _cleanup_(text_done) Text t = {};
                LaunchFamily f = l->family;
                FamilyMember m;
                int r;

                if (vmm_row((VmmProfile) p)->svsm || (VmmProfile) p == f.profile)
                        continue;
                f.profile = (VmmProfile) p;
                r = try_family(s, &f, l->family_vcpus, &m);
                if (r == 0)
                        continue;
                text_putf(&t, "the vCPUs of --vmsa=%s instead of %s", vmm_profile_to_string((VmmProfile) p),
                                vmm_profile_to_string(l->family.profile));
                return r < 0 ? r : say(l, &m, &t, ret);
        }
        return 0;
}

/* 1 if the digest is that of a CPU whose signature no model has. */
static int try_signature(Search *s, const RefsLaunch *l, uint32_t signature, RefsNearest *ret) {
        _cleanup_free_ uint8_t *digests = NULL;
        _cleanup_(text_done) Text t = {};
        int r;

        if (sev_cpu_name(signature) || is_spent(s))
                return 0;
        s->spent += l->family_vcpus;
        digests = malloc(l->family_vcpus * l->digest_size);
        if (!digests)
                return -ENOMEM;
        r = launch_family_digests(&l->family, 1, l->family_vcpus, signature, digests);
        for (unsigned i = 0; r >= 0 && i < l->family_vcpus; i++)
                if (memcmp(digests + i * l->digest_size, s->digest, l->digest_size) == 0) {
                        text_putf(&t, "CPU signature 0x%" PRIx32 ", which is not that of a known model",
                                        signature);
                        return say(l, &(FamilyMember) { i + 1, signature }, &t, ret);
                }
        return r < 0 ? r : 0;
}

static int try_signatures(Search *s, const RefsLaunch *l, RefsNearest *ret) {
        const uint32_t *list;
        size_t n;
        int r = 0;

        if (!launch_family_has_signature(&l->family))
                return 0;
        list = change_real_signatures(&n);
        if (s->signature != 0)
                r = try_signature(s, l, s->signature, ret);
        for (size_t i = 0; r == 0 && i < n; i++)
                r = try_signature(s, l, list[i], ret);
        return r;
}

static int try_launch(Search *s, const RefsLaunch *l, RefsNearest *ret) {
        int r = try_vcpus(s, l, ret);

        if (r == 0)
                r = try_signatures(s, l, ret);
        if (r == 0)
                r = try_profiles(s, l, ret);
        return r != 0 ? r : try_features(s, l, ret);
}

/* What is left when nothing fits. */
static int say_none(size_t families, bool spent, RefsNearest *ret) {
        _cleanup_(text_done) Text t = {};

        if (families == 0)
                text_put(&t, "none: the rows have no family, of which other vCPUs, CPUs, features or monitors could be tried");
        else
                text_putf(&t, "none: no other number of vCPUs, CPU or guest features gives this digest to %s%zu famil%s, so firmware, kernel, initrd, kernel command line or monitor differ",
                                spent ? "the first of " : "", families, families == 1 ? "y" : "ies");
        return text_finish(&t, &ret->text);
}

int refs_bundle_nearest(const RefsBundle *b, const uint8_t *digest, size_t size, uint32_t signature,
                RefsNearest *ret) {
        _cleanup_(refs_nearest_done) RefsNearest n = {};
        Search s = { digest, signature, 0 };
        size_t families = 0;
        int r = 0;

        FOREACH_ARRAY(l, b->launches, b->n_launches) {
                if (!l->has_family || l->digest_size != size)
                        continue;
                families++;
                if (r == 0)
                        r = try_launch(&s, l, &n);
        }
        if (r == 0)
                r = say_none(families, is_spent(&s), &n);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(n, (RefsNearest) {});
        return ret->launch != NULL;
}
