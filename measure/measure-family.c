/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-family.h"

#include <errno.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "sev-cpu.h"
#include "strutil.h"

bool measure_has_family(const MeasureRequest *q) {
        return q->mode == MEASURE_SNP || q->mode == MEASURE_SEV_ES;
}

static int add_kernel_hashes(const LaunchSpec *spec, Sha256State *s) {
        uint8_t table[SEV_HASH_TABLE_SIZE];

        if (!spec->kernel_hashes)
                return 0;
        kernel_hashes_table(&spec->hashes, table);
        return sha256_state_update(s, table, sizeof(table));
}

int measure_family(const MeasureContext *c, LaunchFamily *ret, char **reterr) {
        _cleanup_(snp_chain_done) SnpChain chain = {};
        LaunchFamily f = { .mode = c->request->plan.mode,
                .profile = c->request->profile,
                .reset_address = c->firmware.info.reset_address };
        VmsaDigests vmsas;
        LaunchSpec spec;
        int r;

        measure_context_spec(c, c->request->vcpus[0], c->request->cpus, &spec);
        f.features = spec.features;
        if (launch_is_chain(f.mode)) {
                r = launch_snp_start(&c->firmware, &spec, &chain, &vmsas, reterr);
                memcpy(f.seed, chain.digest, sizeof(f.seed));
        } else {
                r = firmware_image_require(&c->firmware,
                                OVMF_NEED_RESET | (spec.kernel_hashes ? OVMF_NEED_HASH_TABLE : 0), reterr);
                if (r >= 0 && !c->firmware.data)
                        r = error_set(reterr, -EOPNOTSUPP,
                                        "firmware: SEV-ES hashes the image itself: pass the file");
                if (r >= 0)
                        r = sha256_state_init(&f.state);
                if (r >= 0)
                        r = sha256_state_update(&f.state, c->firmware.data, c->firmware.size);
                if (r >= 0)
                        r = add_kernel_hashes(&spec, &f.state);
        }
        if (r < 0)
                return r;
        *ret = f;
        return 0;
}

/* --- members --------------------------------------------------------------------------------------------------------- */

/* The digests of 1, 2, 3 ... vCPUs, one after another. */
typedef struct FamilyWalk {
        const LaunchFamily *family;
        unsigned vcpus; /* so far */
        SnpChain chain;
        VmsaDigests vmsas;
        Sha256State state;
        uint8_t boot[SEV_PAGE_SIZE], application[SEV_PAGE_SIZE];
} FamilyWalk;

static void family_walk_done(FamilyWalk *w) {
        snp_chain_done(&w->chain);
}

static bool same_vmsas(const VmsaSpec *a, const VmsaSpec *b) {
        return a->profile == b->profile && a->entry == b->entry && a->signature == b->signature &&
                        a->features == b->features;
}

static int remember_vmsas(const VmsaSpec *spec, FamilyVmsas *vmsas) {
        int r;

        if (vmsas->given && same_vmsas(&vmsas->spec, spec))
                return 0;
        r = vmsa_digests(spec, &vmsas->digests);
        vmsas->spec = *spec;
        vmsas->given = r >= 0;
        return r;
}

static int family_walk_begin(const LaunchFamily *f, uint32_t signature, FamilyVmsas *vmsas, FamilyWalk *w) {
        VmsaSpec vmsa = {
                .profile = f->profile,
                .entry = f->reset_address,
                .signature = signature,
                .features = f->features,
        };
        int r;

        *w = (FamilyWalk) { .family = f };
        if (launch_is_chain(f->mode)) {
                r = snp_chain_init(&w->chain, f->seed);
                if (r >= 0)
                        r = remember_vmsas(&vmsa, vmsas);
                w->vmsas = vmsas->digests;
                return r;
        }
        w->state = f->state;
        vmsa_build(&vmsa, w->boot);
        vmsa.application = true;
        vmsa_build(&vmsa, w->application);
        return 0;
}

static int family_walk_next(FamilyWalk *w) {
        unsigned at = w->vcpus++;

        if (launch_is_chain(w->family->mode))
                return snp_chain_vmsas(&w->chain, &w->vmsas, at, at + 1);
        return sha256_state_update(&w->state, at == 0 ? w->boot : w->application, SEV_PAGE_SIZE);
}

static int family_walk_digest(const FamilyWalk *w, uint8_t *ret) {
        if (!launch_is_chain(w->family->mode))
                return sha256_state_digest(&w->state, ret);
        memcpy(ret, w->chain.digest, SHA384_SIZE);
        return 0;
}

static size_t digest_size(const LaunchFamily *f) {
        return launch_is_chain(f->mode) ? SHA384_SIZE : SHA256_SIZE;
}

int launch_family_digests(
                const LaunchFamily *f, unsigned first, unsigned n, uint32_t signature, uint8_t *ret) {
        _cleanup_(family_walk_done) FamilyWalk w = {};
        FamilyVmsas vmsas = {};
        int r = family_walk_begin(f, signature, &vmsas, &w);

        for (unsigned i = 1; r >= 0 && i < first + n; i++) {
                r = family_walk_next(&w);
                if (r >= 0 && i >= first)
                        r = family_walk_digest(&w, ret + (size_t) (i - first) * digest_size(f));
        }
        return r;
}

int launch_family_digest(const LaunchFamily *f, unsigned vcpus, uint32_t signature, LaunchDigest *ret) {
        LaunchDigest d = { .algorithm = launch_is_chain(f->mode) ? HASH_SHA384 : HASH_SHA256,
                .size = digest_size(f) };
        int r;

        if (vcpus == 0 || vcpus > FAMILY_VCPUS_MAX)
                return -ERANGE;
        r = launch_family_digests(f, vcpus, 1, signature, d.bytes);
        if (r < 0)
                return r;
        *ret = d;
        return 0;
}

int launch_family_find_cpu(const LaunchFamily *f, const uint8_t *digest, unsigned vcpus_max,
                uint32_t signature, FamilyVmsas *vmsas, FamilyMember *ret) {
        _cleanup_(family_walk_done) FamilyWalk w = {};
        int r = family_walk_begin(f, signature, vmsas, &w);

        for (unsigned i = 1; r >= 0 && i <= vcpus_max; i++) {
                uint8_t d[SHA384_SIZE];

                r = family_walk_next(&w);
                if (r >= 0)
                        r = family_walk_digest(&w, d);
                if (r < 0 || memcmp(d, digest, digest_size(f)) != 0)
                        continue;
                *ret = (FamilyMember) { i, signature };
                return 1;
        }
        return r < 0 ? r : 0;
}

bool launch_family_has_signature(const LaunchFamily *f) {
        return vmm_row(f->profile)->registers.rdx_is_signature;
}

int launch_family_find(const LaunchFamily *f, const uint8_t *digest, unsigned vcpus_max, uint32_t first,
                FamilyMember *ret) {
        FamilyVmsas vmsas = {};
        const SevCpu *cpus;
        size_t n;
        int r = 0;

        if (!launch_family_has_signature(f))
                return launch_family_find_cpu(f, digest, vcpus_max, 0, &vmsas, ret);
        if (first != 0 && sev_cpu_name(first))
                r = launch_family_find_cpu(f, digest, vcpus_max, first, &vmsas, ret);
        cpus = sev_cpu_table(&n);
        FOREACH_ARRAY(cpu, cpus, r == 0 ? n : 0) {
                uint32_t signature = sev_cpu_signature(cpu->family, cpu->model, cpu->stepping);

                /* A signature has several names, of which one is enough. */
                if (signature == first || !streq(sev_cpu_name(signature), cpu->name))
                        continue;
                r = launch_family_find_cpu(f, digest, vcpus_max, signature, &vmsas, ret);
                if (r != 0)
                        break;
        }
        return r;
}

/* --- JSON ------------------------------------------------------------------------------------------------------------ */

int launch_family_to_json(const LaunchFamily *f, Json **ret) {
        _cleanup_js_ Json *j = NULL;
        int r = js_build(&j, "{s:s, s:s, s:I, s:I}", "technology", coco_mode_to_string(f->mode), "vmsa",
                        vmm_profile_to_string(f->profile), "reset-address", (long long) f->reset_address,
                        "features", (long long) f->features);

        if (r >= 0 && launch_is_chain(f->mode))
                r = js_set(j, "seed", js_hex(f->seed, sizeof(f->seed)));
        else if (r >= 0) {
                r = js_set(j, "state", js_hex(f->state.words, sizeof(f->state.words)));
                if (r >= 0)
                        r = js_set(j, "size", js_u64(f->state.size));
                if (r >= 0)
                        r = js_set(j, "tail", js_base64(f->state.tail, f->state.size % SHA256_BLOCK));
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}

static int read_technology(const Json *v, void *target, char **reterr) {
        const char *s = js_string_value(v);
        CocoMode mode = s ? coco_mode_from_string(s) : _COCO_MODE_INVALID;

        if (mode != COCO_SEV_ES && mode != COCO_SEV_SNP)
                return error_set(reterr, -EINVAL, "expected sev-es or sev-snp");
        ((LaunchFamily *) target)->mode = mode;
        return 0;
}

static int read_profile(const Json *v, void *target, char **reterr) {
        const char *s = js_string_value(v);
        VmmProfile p = s ? vmm_profile_from_string(s) : _VMM_PROFILE_INVALID;

        if (p < 0 || vmm_row(p)->svsm)
                return error_set(reterr, -EINVAL, "expected one of %s", values_text(VMM_PROFILE_NAMES).text);
        ((LaunchFamily *) target)->profile = p;
        return 0;
}

static int read_seed(const Json *v, void *target, char **reterr) {
        const char *s = js_string_value(v);
        LaunchFamily *f = target;

        if (!s || hex_decode_exact(s, f->seed, sizeof(f->seed)) < 0)
                return error_set(reterr, -EINVAL, "expected 96 hex digits");
        return 0;
}

static int read_state(const Json *v, void *target, char **reterr) {
        const char *s = js_string_value(v);
        LaunchFamily *f = target;

        if (!s || hex_decode_exact(s, f->state.words, sizeof(f->state.words)) < 0)
                return error_set(reterr, -EINVAL, "expected 64 hex digits");
        return 0;
}

static int read_tail(const Json *v, void *target, char **reterr) {
        const char *s = js_string_value(v);
        _cleanup_free_ uint8_t *p = NULL;
        LaunchFamily *f = target;
        size_t n;

        if (!s || base64_decode(s, js_string_length(v), &p, &n) < 0 || n >= SHA256_BLOCK)
                return error_set(reterr, -EINVAL, "expected up to 63 bytes in base64");
        if (n > 0)
                memcpy(f->state.tail, p, n);
        return 0;
}

/* As many bytes of the tail as the size says, and only what the technology has. */
static int check_members(const Json *j, const LaunchFamily *f, char **reterr) {
        bool chain = launch_is_chain(f->mode);
        const char *tail = js_string_value(js_get(j, "tail"));
        size_t n = f->state.size % SHA256_BLOCK;

        if (!!js_get(j, "seed") != chain || !!js_get(j, "state") == chain || !!js_get(j, "size") == chain ||
                        !!tail == chain)
                return error_set(reterr, -EINVAL,
                                "expected 'seed' for sev-snp, or 'state', 'size' and 'tail' for sev-es");
        if (tail && strlen(tail) != (n + 2) / 3 * 4)
                return error_set(reterr, -EINVAL, "'tail' has another length than 'size' leaves");
        return 0;
}

int launch_family_from_json(const Json *j, LaunchFamily *ret, char **reterr) {
        static const JsField fields[] = {
                { "technology", JS_FIELD_CUSTOM, 0, true, read_technology },
                { "vmsa", JS_FIELD_CUSTOM, 0, true, read_profile },
                { "reset-address", JS_FIELD_UNSIGNED, offsetof(LaunchFamily, reset_address), true, NULL },
                { "features", JS_FIELD_U64, offsetof(LaunchFamily, features), true, NULL },
                { "seed", JS_FIELD_CUSTOM, 0, false, read_seed },
                { "state", JS_FIELD_CUSTOM, 0, false, read_state },
                { "size", JS_FIELD_U64, offsetof(LaunchFamily, state.size), false, NULL },
                { "tail", JS_FIELD_CUSTOM, 0, false, read_tail },
        };
        LaunchFamily f = {};
        int r = js_dispatch(j, fields, ELEMENTSOF(fields), /* foreign= */ false, &f, reterr);

        if (r >= 0)
                r = check_members(j, &f, reterr);
        if (r < 0)
                return r;
        *ret = f;
        return 0;
}
