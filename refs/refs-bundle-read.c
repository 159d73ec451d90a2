/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "refs-bundle-internal.h"
#include "refs-id.h"
#include "refs-registers.h"
#include "strutil.h"

void refs_launch_done(RefsLaunch *l) {
        FOREACH_ARRAY(run, l->runs, l->n_runs) {
                free(run->model);
                free(run->digests);
                free(run->id_signatures);
        }
        free(l->runs);
        free(l->name);
        free(l->vmm);
        (void) js_unref(l->inputs);
        (void) js_unref(l->hashes);
        (void) js_unref(l->registers);
        *l = (RefsLaunch) {};
}

void refs_bundle_done(RefsBundle *b) {
        FOREACH_ARRAY(l, b->launches, b->n_launches)
                refs_launch_done(l);
        free(b->launches);
        free(b->name);
        (void) js_unref(b->generator);
        (void) js_unref(b->learned);
        *b = (RefsBundle) {};
}

bool refs_is_bundle(const Json *j) {
        const char *format = js_string_value(js_get(j, "format"));

        return format && streq(format, REFS_FORMAT);
}

/* --- inputs ---------------------------------------------------------------------------------------------------------- */

static int check_part(const Json *part, char **reterr) {
        static const char *const known[] = { "name", "sha256", "size" };
        uint64_t size;
        int r = refs_check_members(part, known, ELEMENTSOF(known), reterr);

        if (r >= 0 &&
                        (!js_string_value(js_get(part, "name")) ||
                                        js_u64_value(js_get(part, "size"), &size) < 0))
                r = error_set(reterr, -EINVAL, "expected 'name' and 'size'");
        return r < 0 ? r : refs_check_hex(part, "sha256", SHA256_SIZE, reterr);
}

static int check_input(const Json *input, char **reterr) {
        static const char *const known[] = { "parts", "sha256", "size" };
        const Json *parts = js_get(input, "parts");
        uint64_t size;
        int r = refs_check_members(input, known, ELEMENTSOF(known), reterr);

        if (r >= 0 && (!js_is_array(parts) || js_u64_value(js_get(input, "size"), &size) < 0))
                r = error_set(reterr, -EINVAL, "expected 'size' and 'parts'");
        if (r >= 0)
                r = refs_check_hex(input, "sha256", SHA256_SIZE, reterr);
        for (size_t i = 0; r >= 0 && i < js_length(parts); i++)
                r = check_part(js_at(parts, i), reterr);
        return r;
}

static int read_inputs(const Json *v, void *target, char **reterr) {
        static const char *const known[] = { "firmware", "kernel", "initrd", "cmdline" };
        RefsLaunch *l = target;
        int r = refs_check_members(v, known, ELEMENTSOF(known), reterr);

        for (void *i = r < 0 ? NULL : js_iter(v); i; i = js_iter_next(v, i)) {
                r = check_input(js_iter_value(i), reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "'%s'", js_iter_key(i));
        }
        if (r >= 0)
                l->inputs = js_ref((Json *) v);
        return r;
}

static int read_hashes(const Json *v, void *target, char **reterr) {
        static const char *const known[] = { "kernel", "initrd", "cmdline" };
        RefsLaunch *l = target;
        int r = refs_check_members(v, known, ELEMENTSOF(known), reterr);

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(known); i++)
                r = refs_check_hex(v, known[i], SHA256_SIZE, reterr);
        if (r >= 0)
                l->hashes = js_ref((Json *) v);
        return r;
}

static int read_registers(const Json *v, void *target, char **reterr) {
        RefsLaunch *l = target;
        int r = refs_check_members(v, refs_register_names, REFS_REGISTERS, reterr);

        for (void *i = r < 0 ? NULL : js_iter(v); r >= 0 && i; i = js_iter_next(v, i))
                r = refs_check_hex(v, js_iter_key(i), SHA384_SIZE, reterr);
        if (r >= 0)
                l->registers = js_ref((Json *) v);
        return r;
}

static int read_host_credentials(const Json *v, void *target, char **reterr) {
        const char *s = js_string_value(v);
        RefsLaunch *l = target;

        l->host_credentials = s ? td_host_credentials_from_string(s) : _TD_HOST_CREDENTIALS_INVALID;
        /* What is unknown is left out. */
        return l->host_credentials > TD_HOST_CREDENTIALS_UNKNOWN
                        ? 0
                        : error_set(reterr, -EINVAL, "expected imported, rtmr0 or ignored");
}

/* --- a launch -------------------------------------------------------------------------------------------------------- */

static int read_technology(const Json *v, void *target, char **reterr) {
        const char *s = js_string_value(v);
        RefsLaunch *l = target;

        l->mode = s ? coco_mode_from_string(s) : _COCO_MODE_INVALID;
        if (l->mode <= COCO_NONE)
                return error_set(reterr, -EINVAL, "expected sev, sev-es, sev-snp or tdx");
        l->digest_size = coco_of(l->mode)->digest_size;
        return 0;
}

static int read_family(const Json *v, void *target, char **reterr) {
        RefsLaunch *l = target;

        l->has_family = true;
        return launch_family_from_json(v, &l->family, reterr);
}

static int read_features(const Json *v, void *target, char **reterr) {
        RefsLaunch *l = target;

        l->has_features = true;
        return js_u64_value(v, &l->features) < 0 ? error_set(reterr, -EINVAL, "expected a number") : 0;
}

static int read_signature(const Json *v, void *target, char **reterr) {
        RefsRun *run = target;

        run->has_signature = true;
        if (js_u64_value(v, &run->signature) < 0 || run->signature > UINT32_MAX)
                return error_set(reterr, -EINVAL, "expected a 32 bit number");
        return 0;
}

/* Those that were cut out of the text: an empty list stands for the next of them. */
static int take_digests(RefsRun *run, size_t size, RefsCut *cut) {
        RefsDigests *d = cut->list + cut->next;

        if (cut->next >= cut->n || d->size != size || d->n > REFS_ROWS_MAX)
                return -EINVAL;
        run->digests = TAKE_PTR(d->bytes);
        run->n = d->n;
        cut->next++;
        return 0;
}

static int read_digests(RefsRun *run, const Json *v, size_t size, RefsCut *cut, char **reterr) {
        run->n = js_length(v);
        if (cut && js_is_array(v) && run->n == 0)
                return take_digests(run, size, cut);
        if (run->n == 0 || run->n > REFS_ROWS_MAX)
                return error_set(reterr, -EINVAL, "'digests': expected 1 to %u of them", REFS_ROWS_MAX);
        run->digests = malloc(run->n * size);
        if (!run->digests)
                return -ENOMEM;
        for (size_t i = 0; i < run->n; i++) {
                const char *s = js_string_value(js_at(v, i));

                if (!s || hex_decode_exact(s, run->digests + i * size, size) < 0)
                        return error_set(reterr, -EINVAL, "digest %zu: expected %zu hex digits", i + 1,
                                        2 * size);
        }
        return 0;
}

static int no_parse(_unused_ const Json *v, _unused_ void *target, _unused_ char **reterr) {
        return 0;
}

static int read_run(const Json *v, const RefsLaunch *l, RefsCut *cut, RefsRun *run, char **reterr) {
        static const JsField fields[] = {
                { "cpu-model", JS_FIELD_STRING, offsetof(RefsRun, model), false, NULL },
                { "vcpu-sig", JS_FIELD_CUSTOM, 0, false, read_signature },
                { "vcpus", JS_FIELD_UNSIGNED, offsetof(RefsRun, vcpus), false, NULL },
                { "digests", JS_FIELD_CUSTOM, 0, true, no_parse }, /* needs the launch */
                { "id-signatures", JS_FIELD_CUSTOM, 0, false, no_parse },
        };
        int r = js_dispatch(v, fields, ELEMENTSOF(fields), /* foreign= */ false, run, reterr);

        if (r >= 0)
                r = read_digests(run, js_get(v, "digests"), l->digest_size, cut, reterr);
        if (r >= 0)
                r = refs_read_id_signatures(run, js_get(v, "id-signatures"), reterr);
        if (r < 0)
                return r;
        if ((run->vcpus > 0) != coco_of(l->mode)->vcpus_measured || run->vcpus > VCPUS_MAX)
                return error_set(reterr, -EINVAL,
                                coco_of(l->mode)->vcpus_measured
                                                ? "'vcpus': expected 1 to %u"
                                                : "'vcpus' has no meaning without VMSAs (maximum %u)",
                                VCPUS_MAX);
        if (run->vcpus == 0 && run->n != 1)
                return error_set(reterr, -EINVAL, "'digests': expected one, since no vCPU is measured");
        return 0;
}

static int read_rows(const Json *v, RefsLaunch *l, RefsCut *cut, char **reterr) {
        size_t n = js_length(v);

        if (n == 0 || n > REFS_ROWS_MAX)
                return error_set(reterr, -EINVAL, "'rows': expected 1 to %u of them", REFS_ROWS_MAX);
        l->runs = calloc(n, sizeof(RefsRun));
        if (!l->runs)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                int r = read_run(js_at(v, i), l, cut, l->runs + l->n_runs++, reterr);

                if (r < 0)
                        return error_prefix(reterr, r, "row %zu", i + 1);
        }
        return 0;
}

static int check_family(const RefsLaunch *l, char **reterr) {
        const LaunchFamily *f = &l->family;

        if (!l->has_family)
                return l->family_vcpus > 0 ? error_set(reterr, -EINVAL, "'family-vcpus' without 'family'")
                                           : 0;
        if (f->mode != l->mode || !l->vmm || !streq(l->vmm, vmm_profile_to_string(f->profile)) ||
                        !l->has_features || l->features != f->features)
                return error_set(reterr, -EINVAL,
                                "the family contradicts 'technology', 'vmm' or 'features' of its launch");
        if (l->family_vcpus == 0 || l->family_vcpus > FAMILY_VCPUS_MAX)
                return error_set(reterr, -EINVAL, "'family-vcpus': expected 1 to %u", FAMILY_VCPUS_MAX);
        return 0;
}

static int read_launch(const Json *v, RefsLaunch *l, RefsCut *cut, char **reterr) {
        static const JsField fields[] = {
                { "technology", JS_FIELD_CUSTOM, 0, true, read_technology },
                { "name", JS_FIELD_STRING, offsetof(RefsLaunch, name), false, NULL },
                { "inputs", JS_FIELD_CUSTOM, 0, true, read_inputs },
                { "kernel-hashes", JS_FIELD_CUSTOM, 0, false, read_hashes },
                { "registers", JS_FIELD_CUSTOM, 0, false, read_registers },
                { "host-credentials", JS_FIELD_CUSTOM, 0, false, read_host_credentials },
                { "vmm", JS_FIELD_STRING, offsetof(RefsLaunch, vmm), false, NULL },
                { "features", JS_FIELD_CUSTOM, 0, false, read_features },
                { "family", JS_FIELD_CUSTOM, 0, false, read_family },
                { "family-vcpus", JS_FIELD_UNSIGNED, offsetof(RefsLaunch, family_vcpus), false, NULL },
                { "rows", JS_FIELD_CUSTOM, 0, true, no_parse }, /* needs the technology */
        };
        int r = js_dispatch(v, fields, ELEMENTSOF(fields), /* foreign= */ false, l, reterr);

        if (r >= 0)
                r = read_rows(js_get(v, "rows"), l, cut, reterr);
        if (r >= 0 && l->registers && !coco_of(l->mode)->event_log)
                r = error_set(reterr, -EINVAL, "'registers' has a meaning for tdx only");
        if (r >= 0 && l->host_credentials != TD_HOST_CREDENTIALS_UNKNOWN && !coco_of(l->mode)->event_log)
                r = error_set(reterr, -EINVAL, "'host-credentials' has a meaning for tdx only");
        return r < 0 ? r : check_family(l, reterr);
}

/* --- the bundle ------------------------------------------------------------------------------------------------------ */

static int read_format(const Json *v, _unused_ void *target, char **reterr) {
        const char *s = js_string_value(v);

        return s && streq(s, REFS_FORMAT) ? 0 : error_set(reterr, -EINVAL, "expected '%s'", REFS_FORMAT);
}

static int read_generator(const Json *v, void *target, char **reterr) {
        static const char *const known[] = { "name", "version" };
        int r = refs_check_members(v, known, ELEMENTSOF(known), reterr);

        if (r >= 0 && (!js_string_value(js_get(v, "name")) || !js_string_value(js_get(v, "version"))))
                r = error_set(reterr, -EINVAL, "expected 'name' and 'version'");
        if (r >= 0)
                ((RefsBundle *) target)->generator = js_ref((Json *) v);
        return r;
}

static int read_policy(const Json *v, void *target, char **reterr) {
        RefsBundle *b = target;

        b->has_guest_policy = true;
        return js_u64_value(v, &b->guest_policy) < 0 ? error_set(reterr, -EINVAL, "expected a number") : 0;
}

static int read_launches(const Json *v, void *target, char **reterr) {
        RefsBundle *b = target;
        size_t n = js_length(v);

        if (n == 0 || n > REFS_LAUNCHES_MAX)
                return error_set(reterr, -EINVAL, "expected 1 to %u of them", REFS_LAUNCHES_MAX);
        b->launches = calloc(n, sizeof(RefsLaunch));
        if (!b->launches)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                RefsLaunch *l = b->launches + b->n_launches++;
                int r = read_launch(js_at(v, i), l, b->cut, reterr);

                if (r < 0)
                        return error_prefix(reterr, r, "launch %zu", i + 1);
                FOREACH_ARRAY(run, l->runs, l->n_runs)
                        b->n_rows += run->n;
        }
        if (b->n_rows > REFS_ROWS_MAX)
                return error_set(reterr, -E2BIG, "more than %u rows", REFS_ROWS_MAX);
        return 0;
}

static int check_id(const RefsBundle *b, char **reterr) {
        bool any = false;

        FOREACH_ARRAY(l, b->launches, b->n_launches)
                FOREACH_ARRAY(run, l->runs, l->n_runs) {
                        any = any || run->id_signatures;
                        if (run->id_signatures && l->mode != COCO_SEV_SNP)
                                return error_set(reterr, -EINVAL, "'id-signatures' outside of sev-snp");
                }
        if (any != b->id.given)
                return error_set(reterr, -EINVAL, "'id' and 'id-signatures' belong together");
        return any && !b->has_guest_policy ? error_set(reterr, -EINVAL, "'id' without 'guest-policy'") : 0;
}

int refs_bundle_read(const Json *j, RefsCut *cut, RefsBundle *ret, char **reterr) {
        static const JsField fields[] = {
                { "format", JS_FIELD_CUSTOM, 0, true, read_format },
                { "name", JS_FIELD_STRING, offsetof(RefsBundle, name), false, NULL },
                { "sequence", JS_FIELD_U64, offsetof(RefsBundle, sequence), true, NULL },
                { "issued", JS_FIELD_U64, offsetof(RefsBundle, issued), true, NULL },
                { "expires", JS_FIELD_U64, offsetof(RefsBundle, expires), false, NULL },
                { "generator", JS_FIELD_CUSTOM, 0, true, read_generator },
                { "guest-policy", JS_FIELD_CUSTOM, 0, false, read_policy },
                { "id", JS_FIELD_CUSTOM, 0, false, refs_read_id },
                { "platform", JS_FIELD_CUSTOM, 0, false, refs_read_platform },
                { "tcb", JS_FIELD_CUSTOM, 0, false, refs_read_tcb },
                { "learned", JS_FIELD_CUSTOM, 0, false, refs_read_learned },
                { "launches", JS_FIELD_CUSTOM, 0, true, read_launches },
        };
        _cleanup_(refs_bundle_done) RefsBundle b = { .cut = cut };
        int r;

        if (!refs_is_bundle(j))
                return error_set(reterr, -EINVAL, "not a reference bundle ('format' is not '%s')",
                                REFS_FORMAT);
        r = js_dispatch(j, fields, ELEMENTSOF(fields), /* foreign= */ false, &b, reterr);
        if (r < 0)
                return r;
        r = check_id(&b, reterr);
        if (r < 0)
                return r;
        if (b.expires > 0 && b.expires < b.issued)
                return error_set(reterr, -EINVAL, "'expires' is before 'issued'");
        b.cut = NULL;
        *ret = TAKE_STRUCT(b, (RefsBundle) {});
        return 0;
}

int refs_bundle_from_json(const Json *j, RefsBundle *ret, char **reterr) {
        return refs_bundle_read(j, /* cut= */ NULL, ret, reterr);
}
