/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-expect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "strutil.h"

#define SIBLINGS_MAX 32u

void expect_result_done(ExpectResult *r) {
        FOREACH_ARRAY(a, r->answers, r->n_answers)
                for (size_t i = 0; i < a->n_changes; i++) {
                        free(a->texts[i]);
                        free(a->options[i]);
                }
        *r = (ExpectResult) {};
}

typedef struct Search {
        const MeasureContext *context;
        LaunchSpec base;
        const uint8_t *expected;
        ChangeList changes;
        size_t best; /* answers with more changes are of no interest any more */
        ExpectResult *result;
} Search;

static int add_answer(Search *s, const Change *const *changes, size_t n) {
        ExpectResult *r = s->result;
        ExpectAnswer *a;

        if (n > s->best)
                return 0;
        if (n < s->best) {
                LaunchDigest computed = r->computed;

                expect_result_done(r);
                r->computed = computed;
                s->best = n;
        }
        if (r->n_answers >= EXPECT_ANSWERS_MAX)
                return 0;
        a = r->answers + r->n_answers++;
        a->spec = s->base;
        for (size_t i = 0; i < n; i++) {
                const FirmwareImage *firmware;

                change_apply(changes[i], &a->spec, &firmware);
                a->texts[i] = strdup(changes[i]->text);
                a->options[i] = changes[i]->option ? strdup(changes[i]->option) : NULL;
                a->n_changes = i + 1;
                if (!a->texts[i] || (changes[i]->option && !a->options[i]))
                        return -ENOMEM;
        }
        return 0;
}

static int add_vcpus_answer(Search *s, const Change *other, unsigned vcpus) {
        char text[64], option[32];
        Change c = { .dimension = CHANGE_VCPUS, .text = text, .option = option, .vcpus = vcpus };
        const Change *list[] = { other ?: &c, &c };

        (void) snprintf(text, sizeof(text), "%u vCPU%s instead of %u", vcpus, vcpus == 1 ? "" : "s",
                        s->base.vcpus);
        (void) snprintf(option, sizeof(option), "--vcpus=%u", vcpus);
        return add_answer(s, list, other ? 2 : 1);
}

/* --- one launch with some changes made ------------------------------------------------------------------------------- */

/* The digest up to the first VMSA, from which launches that differ after it go on. */
typedef struct Start {
        const FirmwareImage *firmware;
        LaunchSpec spec;
        LaunchDigest whole; /* TDX */
        SnpChain chain;
        Hash *hash; /* SEV, SEV-ES */
} Start;

static void start_done(Start *t) {
        snp_chain_done(&t->chain);
        t->hash = hash_free(t->hash);
}

static int start_init(Search *s, const Change *const *changes, size_t n, Start *ret) {
        Start t = { .firmware = &s->context->firmware, .spec = s->base };
        int r;

        for (size_t i = 0; i < n; i++)
                change_apply(changes[i], &t.spec, &t.firmware);
        if (launch_is_whole(t.spec.mode))
                r = launch_digest(t.firmware, &t.spec, NULL, NULL, &t.whole, NULL);
        else if (launch_is_chain(t.spec.mode)) {
                VmsaDigests unused;

                r = launch_snp_start(t.firmware, &t.spec, &t.chain, &unused, NULL);
        } else
                r = launch_sev_start(t.firmware, &t.spec, &t.hash, NULL);
        if (r < 0) {
                start_done(&t);
                return r;
        }
        *ret = t;
        return 0;
}

/* Goes through vCPU counts from `first` to `last` and calls back at each one whose digest is the expected. */
static int run_snp(Search *s, const Start *t, const LaunchSpec *spec, unsigned first, unsigned last,
                unsigned *ret_hit) {
        SnpChain chain = t->chain; /* borrows the scratch object: one search, one thread */
        VmsaDigests vmsas;
        unsigned done = 0;
        int r;

        r = launch_snp_vmsas(t->firmware, spec, &vmsas);
        for (unsigned n = first; r >= 0 && n <= last; n++) {
                r = snp_chain_vmsas(&chain, &vmsas, done, n);
                done = n;
                if (r >= 0 && memcmp(chain.digest, s->expected, SHA384_SIZE) == 0) {
                        *ret_hit = n;
                        return 1;
                }
        }
        return r;
}

static int run_sev(Search *s, const Start *t, const LaunchSpec *spec, unsigned first, unsigned last,
                unsigned *ret_hit) {
        uint8_t boot[SEV_PAGE_SIZE], application[SEV_PAGE_SIZE], digest[SHA256_SIZE];
        _cleanup_hash_ Hash *h = NULL, *copy = NULL;
        unsigned done = 0;
        int r;

        launch_es_pages(t->firmware, spec, boot, application);
        r = hash_clone(t->hash, &h);
        if (r >= 0)
                r = hash_clone(t->hash, &copy);
        for (unsigned n = first; r >= 0 && n <= last; n++) {
                for (; r >= 0 && done < n; done++)
                        r = hash_update(h, done == 0 ? boot : application, SEV_PAGE_SIZE);
                if (r >= 0)
                        r = hash_assign(copy, h);
                if (r >= 0)
                        r = hash_final(copy, digest);
                if (r >= 0 && memcmp(digest, s->expected, SHA256_SIZE) == 0) {
                        *ret_hit = n;
                        return 1;
                }
        }
        return r;
}

static int run(Search *s, const Start *t, const LaunchSpec *spec, unsigned first, unsigned last,
                unsigned *ret_hit) {
        if (launch_is_whole(spec->mode))
                return memcmp(t->whole.bytes, s->expected, t->whole.size) == 0;
        return launch_is_chain(spec->mode) ? run_snp(s, t, spec, first, last, ret_hit)
                                           : run_sev(s, t, spec, first, last, ret_hit);
}

/* One launch with n changes; with fewer than two also all vCPU counts. */
static int try_launch(Search *s, const Start *t, const Change *const *changes, size_t n) {
        LaunchSpec spec = t->spec;
        const FirmwareImage *firmware;
        unsigned hit = 0, vcpus;
        int r;

        for (size_t i = 0; i < n; i++)
                change_apply(changes[i], &spec, &firmware);
        vcpus = coco_of(spec.mode)->vcpus_measured ? spec.vcpus : 0;
        r = run(s, t, &spec, vcpus, vcpus, &hit);
        if (r != 0)
                return r < 0 ? r : add_answer(s, changes, n);
        if (n >= EXPECT_CHANGES_MAX || !coco_of(spec.mode)->vcpus_measured || s->best <= n)
                return 0;
        r = run(s, t, &spec, 0, EXPECT_VCPUS_MAX, &hit);
        if (r <= 0 || hit == vcpus)
                return r;
        return add_vcpus_answer(s, n == 1 ? changes[0] : NULL, hit);
}

static bool before_vmsas(const Change *c) {
        return c->dimension < CHANGE_FIRST_VMSA;
}

/* With the changes before the VMSAs made, those in the VMSAs are gone through. */
static int try_behind(Search *s, const Change *const *made, size_t n_made) {
        const Change *changes[EXPECT_CHANGES_MAX];
        _cleanup_(start_done) Start t = {};
        int r;

        /* An impossible launch (a firmware without hash table) is not an answer. */
        r = start_init(s, made, n_made, &t);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        memcpy(changes, made, n_made * sizeof(made[0]));
        r = try_launch(s, &t, changes, n_made);
        for (size_t i = 0; r >= 0 && n_made < EXPECT_CHANGES_MAX && i < s->changes.n_items; i++) {
                const Change *a = s->changes.items + i;

                if (before_vmsas(a) || n_made + 1 > s->best)
                        continue;
                changes[n_made] = a;
                r = try_launch(s, &t, changes, n_made + 1);
                for (size_t k = i + 1; r >= 0 && n_made == 0 && s->best >= 2 && k < s->changes.n_items;
                                k++) {
                        const Change *b = s->changes.items + k;

                        if (before_vmsas(b) || b->dimension == a->dimension)
                                continue;
                        changes[1] = b;
                        r = try_launch(s, &t, changes, 2);
                }
        }
        return r;
}

/* All sets of one or two changes before the VMSAs; `from`: the first change of those that are new. */
static int try_all(Search *s, size_t from) {
        const Change *made[EXPECT_CHANGES_MAX] = {};
        int r;

        r = from == 0 ? try_behind(s, made, 0) : 0;
        for (size_t i = 0; r >= 0 && i < s->changes.n_items; i++) {
                const Change *a = s->changes.items + i;

                if (!before_vmsas(a) || s->best < 1)
                        continue;
                made[0] = a;
                if (i >= from)
                        r = try_behind(s, made, 1);
                for (size_t k = MAX(i + 1, from); r >= 0 && s->best >= 2 && k < s->changes.n_items; k++) {
                        const Change *b = s->changes.items + k;

                        if (!before_vmsas(b) || b->dimension == a->dimension)
                                continue;
                        made[1] = b;
                        r = try_behind(s, made, 2);
                }
        }
        return r;
}

/* --- other firmware -------------------------------------------------------------------------------------------------- */

static int load_sibling(const char *path, unsigned work, FirmwareImage *ret) {
        _cleanup_(plan_input_done) PlanInput in = {};
        _cleanup_close_ int fd = -EBADF;
        uint64_t size;
        int r;

        fd = fd_open_regular(path, &size);
        if (fd < 0)
                return fd;
        r = plan_input_add(&in, path, fd, 0, size);
        return r < 0 ? r : firmware_image_load(&in, work, ret, NULL);
}

static int try_siblings(Search *s, char *const *paths) {
        _cleanup_free_ FirmwareImage *images = calloc(SIBLINGS_MAX, sizeof(FirmwareImage));
        size_t n = 0, from = s->changes.n_items;
        int r = 0;

        if (!images)
                return -ENOMEM;
        STRV_FOREACH(p, paths) {
                if (n >= SIBLINGS_MAX || r < 0)
                        break;
                if (load_sibling(*p, launch_firmware_work(s->base.mode), images + n) < 0)
                        continue;
                r = change_list_add_firmware(&s->changes, *p, images + n);
                n++;
        }
        if (r >= 0 && n > 0)
                r = try_all(s, from);
        FOREACH_ARRAY(i, images, n)
                firmware_image_done(i);
        return r;
}

int measure_expect(const MeasureContext *c, unsigned vcpus, const MeasureCpu *cpu, const uint8_t *expected,
                size_t n_expected, char *const *siblings, ExpectResult *ret, char **reterr) {
        _cleanup_(expect_result_done) ExpectResult result = {};
        Search s = { .context = c, .expected = expected, .best = EXPECT_CHANGES_MAX, .result = &result };
        int r;

        measure_context_spec(c, vcpus, cpu, &s.base);
        r = measure_context_digest(c, &s.base, NULL, NULL, &result.computed, reterr);
        if (r < 0)
                return r;
        if (n_expected != result.computed.size)
                return error_set(reterr, -EINVAL,
                                "--expect: the digest has %zu bytes, but one of mode %s has %zu", n_expected,
                                measure_mode_to_string(c->request->mode), result.computed.size);
        result.equal = memcmp(result.computed.bytes, expected, n_expected) == 0;
        if (!result.equal && c->request->mode == measure_mode_of_coco(measure_mode_coco(c->request->mode))) {
                r = change_list_build(c, &s.base, &s.changes, reterr);
                if (r >= 0)
                        r = try_all(&s, 0);
                if (r >= 0 && result.n_answers == 0)
                        r = try_siblings(&s, siblings);
                change_list_done(&s.changes);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_STRUCT(result, (ExpectResult) {});
        return 0;
}
