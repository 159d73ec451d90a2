/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <string.h>

#include "refs-bundle.h"
#include "refs-id.h"

static int add_rows(Json *j, const RefsLaunch *l) {
        _cleanup_js_ Json *rows = js_array();
        int r = rows ? 0 : -ENOMEM;

        FOREACH_ARRAY(run, l->runs, l->n_runs) {
                _cleanup_js_ Json *row = js_object(), *digests = js_array();

                if (!row || !digests)
                        return -ENOMEM;
                for (size_t i = 0; r >= 0 && i < run->n; i++)
                        r = js_append(digests, js_hex(run->digests + i * l->digest_size, l->digest_size));
                if (r >= 0 && run->model)
                        r = js_set(row, "cpu-model", js_string(run->model));
                if (r >= 0 && run->has_signature)
                        r = js_set(row, "vcpu-sig", js_u64(run->signature));
                if (r >= 0 && run->vcpus > 0)
                        r = js_set(row, "vcpus", js_u64(run->vcpus));
                if (r >= 0)
                        r = js_set(row, "digests", TAKE_PTR(digests));
                if (r >= 0 && run->id_signatures) {
                        Json *signatures = NULL;

                        r = refs_id_signatures_json(run, &signatures);
                        if (r >= 0)
                                r = js_set(row, "id-signatures", signatures);
                }
                if (r >= 0)
                        r = js_append(rows, TAKE_PTR(row));
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : js_set(j, "rows", TAKE_PTR(rows));
}

static int add_family(Json *j, const RefsLaunch *l) {
        Json *family = NULL;
        int r;

        if (!l->has_family)
                return 0;
        r = launch_family_to_json(&l->family, &family);
        if (r >= 0)
                r = js_set(j, "family", family);
        return r < 0 ? r : js_set(j, "family-vcpus", js_u64(l->family_vcpus));
}

static int add_launch(Json *list, const RefsLaunch *l) {
        _cleanup_js_ Json *j = js_object();
        int r;

        if (!j)
                return -ENOMEM;
        r = js_set(j, "technology", js_string(coco_mode_to_string(l->mode)));
        if (r >= 0 && l->name)
                r = js_set(j, "name", js_string(l->name));
        if (r >= 0)
                r = js_set(j, "inputs", js_ref(l->inputs));
        if (r >= 0 && l->hashes)
                r = js_set(j, "kernel-hashes", js_ref(l->hashes));
        if (r >= 0 && l->registers)
                r = js_set(j, "registers", js_ref(l->registers));
        if (r >= 0 && l->host_credentials != TD_HOST_CREDENTIALS_UNKNOWN)
                r = js_set(j, "host-credentials",
                                js_string(td_host_credentials_to_string(l->host_credentials)));
        if (r >= 0 && l->vmm)
                r = js_set(j, "vmm", js_string(l->vmm));
        if (r >= 0 && l->has_features)
                r = js_set(j, "features", js_u64(l->features));
        if (r >= 0)
                r = add_family(j, l);
        if (r >= 0)
                r = add_rows(j, l);
        return r < 0 ? r : js_append(list, TAKE_PTR(j));
}

static int add_tcb(Json *j, const RefsBundle *b) {
        _cleanup_js_ Json *all = js_object();
        bool any = false;
        int r = all ? 0 : -ENOMEM;

        for (int g = 0; r >= 0 && g < _SNP_GENERATION_MAX; g++) {
                _cleanup_js_ Json *parts = js_object();

                if (!b->has_tcb[g])
                        continue;
                any = true;
                r = parts ? 0 : -ENOMEM;
                for (int p = 0; r >= 0 && p < _SNP_TCB_PART_MAX; p++)
                        if (snp_generation_has_tcb_part((SnpGeneration) g, (SnpTcbPart) p))
                                r = js_set(parts, snp_tcb_part_to_string((SnpTcbPart) p),
                                                js_u64(b->tcb[g].part[p]));
                if (r >= 0)
                        r = js_set(all, snp_generation_to_string((SnpGeneration) g), TAKE_PTR(parts));
        }
        return r < 0 || !any ? r : js_set(j, "tcb", TAKE_PTR(all));
}

static int add_platform(Json *j, const RefsPlatform *p) {
        _cleanup_js_ Json *o = js_object();
        int r = o ? 0 : -ENOMEM;

        if (r >= 0 && p->has_smt)
                r = js_set(o, "smt", js_bool(p->smt));
        if (r >= 0 && p->has_tsme)
                r = js_set(o, "tsme", js_bool(p->tsme));
        return r < 0 || (!p->has_smt && !p->has_tsme) ? r : js_set(j, "platform", TAKE_PTR(o));
}

static int add_expectations(Json *j, const RefsBundle *b) {
        int r = b->has_guest_policy ? js_set(j, "guest-policy", js_u64(b->guest_policy)) : 0;

        if (r >= 0 && b->id.given) {
                Json *id = NULL;

                r = refs_id_json(b, &id);
                if (r >= 0)
                        r = js_set(j, "id", id);
        }
        if (r >= 0)
                r = add_platform(j, &b->platform);
        if (r >= 0)
                r = add_tcb(j, b);
        if (r >= 0 && b->learned)
                r = js_set(j, "learned", js_ref(b->learned));
        return r;
}

int refs_bundle_json(const RefsBundle *b, Json **ret) {
        _cleanup_js_ Json *j = js_object(), *launches = js_array();
        int r;

        if (!j || !launches)
                return -ENOMEM;
        r = js_set(j, "format", js_string(REFS_FORMAT));
        if (r >= 0 && b->name)
                r = js_set(j, "name", js_string(b->name));
        if (r >= 0)
                r = js_set(j, "sequence", js_u64(b->sequence));
        if (r >= 0)
                r = js_set(j, "issued", js_u64(b->issued));
        if (r >= 0 && b->expires > 0)
                r = js_set(j, "expires", js_u64(b->expires));
        if (r >= 0)
                r = js_set(j, "generator", js_ref(b->generator));
        if (r >= 0)
                r = add_expectations(j, b);
        FOREACH_ARRAY(l, b->launches, b->n_launches)
                if (r >= 0)
                        r = add_launch(launches, l);
        if (r >= 0)
                r = js_set(j, "launches", TAKE_PTR(launches));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}

int refs_bundle_text(const RefsBundle *b, char **ret) {
        _cleanup_js_ Json *j = NULL;
        _cleanup_free_ char *text = NULL;
        char *grown;
        size_t n;
        int r = refs_bundle_json(b, &j);

        if (r < 0)
                return r;
        text = js_text(j, JS_SHORT);
        n = text ? strlen(text) : 0;
        grown = text ? realloc(text, n + 2) : NULL;
        if (!grown)
                return -ENOMEM;
        text = NULL;
        memcpy(grown + n, "\n", 2);
        *ret = grown;
        return 0;
}
