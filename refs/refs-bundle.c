/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "refs-bundle.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "refs-member.h"
#include "sev-cpu.h"
#include "strutil.h"

/* Names come from the bundle, and go to terminals. */
static int finish(Text *t, char **ret) {
        int r = text_finish(t, ret);

        if (r >= 0)
                text_flatten(*ret, SIZE_MAX);
        return r;
}

int refs_row_text(const RefsRun *run, size_t i, char **ret) {
        _cleanup_(text_done) Text t = {};
        unsigned vcpus = run->vcpus + (unsigned) i;

        if (run->vcpus > 0)
                text_putf(&t, "%u vCPU%s", vcpus, vcpus == 1 ? "" : "s");
        if (run->model)
                text_putf(&t, "%s%s", t.size > 0 ? ", " : "", run->model);
        else if (run->has_signature)
                text_putf(&t, "%sCPU signature 0x%" PRIx64, t.size > 0 ? ", " : "", run->signature);
        if (t.size == 0)
                text_put(&t, "any vCPUs");
        return finish(&t, ret);
}

const char *refs_launch_sha256(const RefsLaunch *l, const char *input) {
        return js_string_value(js_get(js_get(l->inputs, input), "sha256"))
                        ?: js_string_value(js_get(l->hashes, input));
}

int refs_launch_text(const RefsLaunch *l, char **ret) {
        static const char *const inputs[] = { "firmware", "kernel", "initrd" };
        _cleanup_(text_done) Text t = {};

        text_put(&t, coco_mode_to_string(l->mode));
        if (l->name)
                text_putf(&t, " '%s'", l->name);
        FOREACH_ARRAY(name, inputs, ELEMENTSOF(inputs)) {
                const Json *input = js_get(l->inputs, *name);
                const char *file = js_string_value(js_get(js_at(js_get(input, "parts"), 0), "name"));

                if (input)
                        text_putf(&t, ", %s %s (%.12s...)", *name, file ?: "?",
                                        js_string_value(js_get(input, "sha256")) ?: "?");
        }
        return finish(&t, ret);
}

/* Else a digest for one CPU would be shown as one for another. */
static int check_model(const RefsRun *run, char **reterr) {
        const SevCpu *cpu = run->model && run->has_signature ? sev_cpu_find(run->model) : NULL;

        if (cpu && sev_cpu_signature(cpu->family, cpu->model, cpu->stepping) != run->signature)
                return error_set(reterr, -EBADMSG,
                                "'vcpu-sig' 0x%" PRIx64 " of a row is not that of its 'cpu-model'",
                                run->signature);
        return 0;
}

/* Digests of a run against those of its family. */
static int compare_run(const RefsLaunch *l, const RefsRun *run, size_t first, size_t n, char **reterr) {
        _cleanup_free_ uint8_t *digests = NULL;
        size_t size = l->digest_size;
        int r = check_model(run, reterr);

        if (r < 0)
                return r;
        if (launch_family_has_signature(&l->family) && !run->has_signature)
                return error_set(reterr, -EBADMSG, "the row has no 'vcpu-sig', which its family needs");
        if (run->vcpus + first + n - 1 > FAMILY_VCPUS_MAX)
                return error_set(reterr, -EBADMSG, "the row has more vCPUs than a family can (%u)",
                                FAMILY_VCPUS_MAX);
        digests = malloc(n * size);
        if (!digests)
                return -ENOMEM;
        r = launch_family_digests(&l->family, run->vcpus + (unsigned) first, (unsigned) n,
                        (uint32_t) run->signature, digests);
        for (size_t i = 0; r >= 0 && i < n; i++) {
                _cleanup_free_ char *text = NULL;

                if (memcmp(digests + i * size, run->digests + (first + i) * size, size) == 0)
                        continue;
                r = refs_row_text(run, first + i, &text);
                return r < 0 ? r
                             : error_set(reterr, -EBADMSG, "row '%s' contradicts the family of its launch",
                                               text);
        }
        return r;
}

int refs_bundle_check_families(const RefsBundle *b, char **reterr) {
        FOREACH_ARRAY(l, b->launches, b->n_launches) {
                if (!l->has_family)
                        continue;
                FOREACH_ARRAY(run, l->runs, l->n_runs) {
                        int r = compare_run(l, run, 0, run->n, reterr);

                        if (r < 0)
                                return error_prefix(reterr, r, "launch %td", l - b->launches + 1);
                }
        }
        return 0;
}

static bool find_row(const RefsLaunch *l, const uint8_t *digest, RefsMatch *ret, size_t *ret_i) {
        FOREACH_ARRAY(run, l->runs, l->n_runs)
                for (size_t i = 0; i < run->n; i++) {
                        if (memcmp(run->digests + i * l->digest_size, digest, l->digest_size) != 0)
                                continue;
                        *ret = (RefsMatch) { l, run, run->vcpus > 0 ? run->vcpus + (unsigned) i : 0,
                                run->signature, run->has_signature, false };
                        *ret_i = i;
                        return true;
                }
        return false;
}

int refs_each_row(const RefsBundle *b, RefsRowFunction row, void *userdata) {
        FOREACH_ARRAY(l, b->launches, b->n_launches)
                FOREACH_ARRAY(run, l->runs, l->n_runs)
                        for (size_t i = 0; i < run->n; i++) {
                                int r = row(userdata, l, run, i, run->digests + i * l->digest_size);

                                if (r < 0)
                                        return r;
                        }
        return 0;
}

int refs_bundle_find(const RefsBundle *b, const uint8_t *digest, size_t size, uint32_t first, RefsMatch *ret,
                char **reterr) {
        RefsMatch m;
        size_t i;

        FOREACH_ARRAY(l, b->launches, b->n_launches) {
                int r;

                if (l->digest_size != size || !find_row(l, digest, &m, &i))
                        continue;
                r = l->has_family ? compare_run(l, m.run, i, 1, reterr) : 0;
                if (r < 0)
                        return r;
                *ret = m;
                return 1;
        }
        return refs_member_find(b, digest, size, first, ret);
}

int refs_match_text(const RefsMatch *m, char **ret) {
        RefsRun member = { .vcpus = m->vcpus, .signature = m->signature, .has_signature = m->has_signature };
        _cleanup_free_ char *row = NULL, *launch = NULL;
        _cleanup_(text_done) Text t = {};
        const char *name = m->has_signature ? sev_cpu_name((uint32_t) m->signature) : NULL;
        int r;

        member.model = m->run ? m->run->model : (char *) name;
        r = refs_row_text(&member, 0, &row);
        if (r >= 0)
                r = refs_launch_text(m->launch, &launch);
        if (r < 0)
                return r;
        text_putf(&t, "%s %s; %s", m->run ? "row" : "family member", row, launch);
        return text_finish(&t, ret);
}
