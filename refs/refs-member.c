/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Members of families are many (512 vCPUs of 16 CPUs are 8192), and each is a hash of the one before it: with thousands of families not all of them can
 * be tried for one answer. Then each family gives as many as the others, and more for the CPUs that it has rows of. */

#include "refs-member.h"

#include "sev-cpu.h"
#include "strutil.h"

#define MEMBERS_MAX                                                                                         \
        2000000u /* that are tried for one answer: about half a second; all members of 244 families of 512 vCPUs */
#define VCPUS_LEAST    4u
#define SIGNATURES_MAX 64u

typedef struct Search {
        const RefsBundle *bundle;
        const uint8_t *digest;
        size_t size;
        uint32_t signatures[SIGNATURES_MAX]; /* of all models, each once */
        size_t n;
        uint32_t first;
        FamilyVmsas vmsas;
        bool partial;
} Search;

static void add_signature(Search *s, uint32_t signature) {
        FOREACH_ARRAY(x, s->signatures, s->n)
                if (*x == signature)
                        return;
        if (s->n < SIGNATURES_MAX)
                s->signatures[s->n++] = signature;
}

static void add_signatures(Search *s) {
        const SevCpu *cpus;
        size_t n;

        if (s->first != 0 && sev_cpu_name(s->first))
                add_signature(s, s->first);
        cpus = sev_cpu_table(&n);
        FOREACH_ARRAY(c, cpus, n)
                add_signature(s, sev_cpu_signature(c->family, c->model, c->stepping));
}

static bool has_row_of(const RefsLaunch *l, uint32_t signature) {
        FOREACH_ARRAY(run, l->runs, l->n_runs)
                if (run->has_signature && run->signature == signature)
                        return true;
        return false;
}

/* Is this CPU of the launch one of the likely ones, or one of the others? A family without signatures has one CPU. */
static bool is_due(const Search *s, const RefsLaunch *l, size_t cpu, bool likely) {
        uint32_t signature = s->signatures[cpu];

        if (!l->has_family || l->digest_size != s->size)
                return false;
        if (!launch_family_has_signature(&l->family))
                return likely && cpu == 0;
        return (signature == s->first || has_row_of(l, signature)) == likely;
}

/* CPUs of all families; *ret_members: their members. */
static uint64_t count(const Search *s, bool likely, uint64_t *ret_members) {
        uint64_t n = 0;

        *ret_members = 0;
        for (size_t cpu = 0; cpu < s->n; cpu++)
                FOREACH_ARRAY(l, s->bundle->launches, s->bundle->n_launches)
                        if (is_due(s, l, cpu, likely)) {
                                n++;
                                *ret_members += l->family_vcpus;
                        }
        return n;
}

/* How many vCPUs of each may be tried. Few are not worth the beginning, which takes as long as some 30 of them. */
static uint64_t share(uint64_t n) {
        uint64_t each = n > 0 ? MEMBERS_MAX / 2 / n : 0;

        return each < VCPUS_LEAST ? 0 : each;
}

static int walk(Search *s, bool likely, uint64_t vcpus_max, RefsMatch *ret) {
        for (size_t cpu = 0; cpu < s->n; cpu++)
                FOREACH_ARRAY(l, s->bundle->launches, s->bundle->n_launches) {
                        unsigned vcpus = (unsigned) MIN(vcpus_max, (uint64_t) l->family_vcpus);
                        FamilyMember m;
                        int r;

                        if (!is_due(s, l, cpu, likely))
                                continue;
                        s->partial = s->partial || vcpus < l->family_vcpus;
                        if (vcpus == 0)
                                continue;
                        r = launch_family_find_cpu(
                                        &l->family, s->digest, vcpus, s->signatures[cpu], &s->vmsas, &m);
                        if (r > 0)
                                *ret = (RefsMatch) { l, NULL, m.vcpus, m.signature,
                                        launch_family_has_signature(&l->family), false };
                        if (r != 0)
                                return r;
                }
        return 0;
}

int refs_member_find(
                const RefsBundle *b, const uint8_t *digest, size_t size, uint32_t first, RefsMatch *ret) {
        Search s = { .bundle = b, .digest = digest, .size = size, .first = first };
        uint64_t likely, others, likely_members, other_members, each = UINT64_MAX, each_other = UINT64_MAX;
        int r;

        add_signatures(&s);
        likely = count(&s, true, &likely_members);
        others = count(&s, false, &other_members);
        if (likely_members + other_members > MEMBERS_MAX) {
                each = share(likely);
                each_other = share(others);
        }
        r = walk(&s, true, each, ret);
        if (r == 0)
                r = walk(&s, false, each_other, ret);
        if (r == 0)
                *ret = (RefsMatch) { .partial = s.partial };
        return r;
}
