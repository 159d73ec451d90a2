/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "refs-build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "strutil.h"

#define LOCK_FORMAT "cvmspawn-lock-v1"

int refs_read_json(const char *text, size_t size, Json **ret, char **reterr) {
        const char *end = memchr(text, '\n', size);
        _cleanup_js_ Json *rows = NULL, *first = NULL;
        size_t at = 0;

        if (!end || end == text + size - 1 || js_parse(text, (size_t) (end - text), &first, NULL) < 0)
                return js_parse(text, size, ret, reterr);
        rows = js_array();
        if (!rows)
                return -ENOMEM;
        for (size_t number = 1; at < size; number++) {
                size_t n = (end = memchr(text + at, '\n', size - at)) ? (size_t) (end - text) - at
                                                                      : size - at;
                Json *row = NULL;
                int r = js_parse(text + at, n, &row, reterr);

                if (r >= 0)
                        r = js_append(rows, row);
                if (r < 0)
                        return error_prefix(reterr, r, "line %zu", number);
                at += n + 1;
        }
        *ret = TAKE_PTR(rows);
        return 0;
}

/* --- inputs ---------------------------------------------------------------------------------------------------------- */

/* A published bundle names files, and not the folders of the machine that made it. */
static const char *file_name(const char *label) {
        const char *slash = strrchr(label, '/');

        return slash && slash[1] ? slash + 1 : label;
}

static int add_part(Json *parts, const Json *part, char **reterr) {
        const char *label = js_string_value(js_get(part, "label"));
        const Json *sha256 = js_get(part, "sha256"), *size = js_get(part, "size") ?: js_get(part, "length");
        Json *j = NULL;
        int r;

        if (!label || !js_string_value(sha256) || !size)
                return error_set(reterr, -EINVAL, "a part of an input lacks its label, size or SHA-256");
        r = js_build(&j, "{s:s, s:O, s:O}", "name", file_name(label), "sha256", sha256, "size", size);
        return r < 0 ? r : js_append(parts, j);
}

static int add_input(Json *inputs, const char *name, const Json *in, char **reterr) {
        const Json *list = js_get(in, "parts"), *size = js_get(in, "size");
        _cleanup_js_ Json *parts = js_array();
        uint64_t total = 0, n;
        Json *j = NULL;
        int r = parts ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < js_length(list); i++) {
                r = add_part(parts, js_at(list, i), reterr);
                if (js_u64_value(js_get(js_at(list, i), "length"), &n) >= 0)
                        total += n; /* a lock file has no sum */
        }
        if (r < 0)
                return r;
        if (!js_string_value(js_get(in, "sha256")))
                return error_set(reterr, -EINVAL, "'%s' has no SHA-256", name);
        r = js_build(&j, "{s:O, s:O, s:o}", "sha256", js_get(in, "sha256"), "parts", parts, "size",
                        size ? js_ref((Json *) size) : js_u64(total));
        return r < 0 ? r : js_set(inputs, name, j);
}

static int add_inputs(RefsLaunch *l, const Json *measured, char **reterr) {
        static const char *const names[] = { "firmware", "kernel", "initrd", "cmdline" };
        const Json *parts = js_get(measured, "parts");
        int r = 0;

        if (!js_is_object(parts))
                return error_set(reterr, -EINVAL,
                                "a row without its inputs: make it with 'cvmspawn measure --family --json' or '--family --batch=FILE'");
        l->inputs = js_object();
        if (!l->inputs)
                return -ENOMEM;
        FOREACH_ARRAY(name, names, ELEMENTSOF(names))
                if (r >= 0 && js_get(parts, *name))
                        r = add_input(l->inputs, *name, js_get(parts, *name), reterr);
        return r;
}

static int add_hashes(RefsLaunch *l, const Json *measured) {
        const Json *h = js_get(js_get(measured, "intermediate"), "kernel-hashes");

        if (!js_is_object(h))
                return 0;
        return js_build(&l->hashes, "{s:O, s:O, s:O}", "kernel", js_get(h, "kernel"), "initrd",
                        js_get(h, "initrd"), "cmdline", js_get(h, "cmdline"));
}

/* --- digests --------------------------------------------------------------------------------------------------------- */

/* A row that follows the last one is in the same run. */
static RefsRun *run_of(RefsLaunch *l, const char *model, bool has_signature, uint64_t signature,
                uint64_t vcpus, size_t *allocated) {
        RefsRun *last = l->n_runs > 0 ? l->runs + l->n_runs - 1 : NULL, *runs;

        if (last && vcpus > 0 && last->vcpus + last->n == vcpus && streq_ptr(last->model, model) &&
                        last->has_signature == has_signature && last->signature == signature)
                return last;
        if (l->n_runs >= *allocated) {
                *allocated = MAX(*allocated * 2, (size_t) 4);
                runs = reallocarray(l->runs, *allocated, sizeof(RefsRun));
                if (!runs)
                        return NULL;
                l->runs = runs;
        }
        last = l->runs + l->n_runs;
        *last = (RefsRun) { .model = model ? strdup(model) : NULL,
                .signature = signature,
                .vcpus = (unsigned) vcpus,
                .has_signature = has_signature };
        if (model && !last->model)
                return NULL;
        l->n_runs++;
        return last;
}

static int add_row(RefsLaunch *l, const Json *measured, const Json *row, size_t *allocated, char **reterr) {
        const Json *parameters =
                        js_get(measured, "parameters") ?: measured; /* a lock file has them itself */
        const Json *vcpus = js_get(row, "vcpus") ?: js_get(parameters, "vcpus");
        const Json *sig = js_get(row, "vcpu-sig") ?: js_get(parameters, "vcpu-sig");
        const char *model = js_string_value(js_get(row, "cpu-model") ?: js_get(parameters, "cpu-model"));
        const char *hex = js_string_value(js_get(row, "digest"));
        uint64_t n = 0, signature = 0;
        uint8_t *grown;
        RefsRun *run;

        if (coco_of(l->mode)->vcpus_measured && (js_u64_value(vcpus, &n) < 0 || n == 0 || n > VCPUS_MAX))
                return error_set(reterr, -EINVAL, "a row has no number of vCPUs");
        if (sig && (js_u64_value(sig, &signature) < 0 || signature > UINT32_MAX))
                return error_set(reterr, -EINVAL, "a row's CPU signature is not a 32 bit number");
        run = run_of(l, n > 0 ? model : NULL, n > 0 && sig, n > 0 ? signature : 0, n, allocated);
        grown = run ? realloc(run->digests, (run->n + 1) * l->digest_size) : NULL;
        if (!grown)
                return -ENOMEM;
        run->digests = grown;
        if (!hex || hex_decode_exact(hex, grown + run->n * l->digest_size, l->digest_size) < 0)
                return error_set(reterr, -EINVAL, "a row has no digest of %zu hex digits",
                                2 * l->digest_size);
        run->n++;
        return 0;
}

static int add_rows(RefsLaunch *l, const Json *measured, char **reterr) {
        const Json *rows = js_get(measured, "rows");
        size_t allocated = 0;
        int r = 0;

        if (!rows)
                return add_row(l, measured, measured, &allocated, reterr);
        if (js_length(rows) == 0)
                return error_set(reterr, -EINVAL, "no rows");
        for (size_t i = 0; r >= 0 && i < js_length(rows); i++)
                r = add_row(l, measured, js_at(rows, i), &allocated, reterr);
        return r;
}

/* --- a launch -------------------------------------------------------------------------------------------------------- */

static int add_parameters(RefsLaunch *l, const Json *measured) {
        const Json *p = js_get(measured, "parameters") ?: measured;
        const char *vmm = js_string_value(js_get(p, "vmsa")), *id = js_string_value(js_get(measured, "id"));
        const Json *features = js_get(p, "guest-features");

        if (coco_of(l->mode)->guest_features && features && js_u64_value(features, &l->features) >= 0)
                l->has_features = true;
        l->vmm = vmm ? strdup(vmm) : NULL;
        l->name = id ? strdup(id) : NULL;
        return (vmm && !l->vmm) || (id && !l->name) ? -ENOMEM : 0;
}

static int add_family(RefsLaunch *l, const Json *measured, unsigned vcpus, char **reterr) {
        const Json *family = js_get(measured, "family");
        int r;

        if (!family || vcpus == 0)
                return 0;
        r = launch_family_from_json(family, &l->family, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "family");
        l->has_family = true;
        l->family_vcpus = vcpus;
        l->features = l->family.features;
        l->has_features = true;
        return 0;
}

/* Those beside the launch digest, which is MRTD. */
static int add_registers(RefsLaunch *l, const Json *measured, char **reterr) {
        const Json *values = js_get(measured, "registers"), *digest = js_get(measured, "digest");
        const char *host_credentials = js_string_value(js_get(measured, "host-credentials"));
        int r = 0;

        if (!js_is_object(values) || !coco_of(l->mode)->event_log)
                return 0;
        if (!streq_ptr(js_string_value(js_get(values, "mrtd")), js_string_value(digest)))
                return error_set(reterr, -EINVAL, "'registers': 'mrtd' is not the launch digest");
        l->registers = js_object();
        if (!l->registers)
                return -ENOMEM;
        for (void *i = js_iter(values); r >= 0 && i; i = js_iter_next(values, i))
                if (!streq(js_iter_key(i), "mrtd"))
                        r = js_set(l->registers, js_iter_key(i), js_ref((Json *) js_iter_value(i)));
        if (r < 0 || !host_credentials)
                return r;
        l->host_credentials = td_host_credentials_from_string(host_credentials);
        return l->host_credentials < 0
                        ? error_set(reterr, -EINVAL,
                                          "'host-credentials': expected imported, rtmr0 or ignored, not '%s'",
                                          host_credentials)
                        : 0;
}

static CocoMode mode_of(const char *name) {
        MeasureMode m = name ? measure_mode_from_string(name) : _MEASURE_MODE_INVALID;

        return m == MEASURE_SEV || m == MEASURE_SEV_ES || m == MEASURE_SNP || m == MEASURE_TDX
                        ? measure_mode_coco(m)
                        : _COCO_MODE_INVALID;
}

static int add_launch(RefsBundle *b, const Json *measured, unsigned family_vcpus, char **reterr) {
        const char *bad = js_string_value(js_get(measured, "error")),
                   *mode = js_string_value(js_get(measured, "mode")),
                   *format = js_string_value(js_get(measured, "format"));
        RefsLaunch *grown = reallocarray(b->launches, b->n_launches + 1, sizeof(RefsLaunch)), *l;
        int r;

        if (!grown)
                return -ENOMEM;
        b->launches = grown;
        l = b->launches + b->n_launches++;
        *l = (RefsLaunch) { .mode = mode_of(mode) };
        if (bad)
                return error_set(reterr, -EINVAL, "this launch was not measured: %s", bad);
        if (format && !streq(format, LOCK_FORMAT))
                return error_set(reterr, -EINVAL, "format '%s' is not known here", format);
        if (l->mode < 0)
                return error_set(reterr, -EINVAL,
                                "mode '%s' has no place in a bundle; expected sev, seves, snp or tdx",
                                mode ?: "");
        l->digest_size = coco_of(l->mode)->digest_size;
        r = add_inputs(l, measured, reterr);
        if (r >= 0)
                r = add_hashes(l, measured);
        if (r >= 0)
                r = add_parameters(l, measured);
        if (r >= 0)
                r = add_family(l, measured, family_vcpus, reterr);
        if (r >= 0)
                r = add_registers(l, measured, reterr);
        if (r >= 0)
                r = add_rows(l, measured, reterr);
        FOREACH_ARRAY(run, l->runs, l->n_runs)
                b->n_rows += run->n;
        return r;
}

int refs_build_add(RefsBundle *b, const Json *measured, unsigned family_vcpus, char **reterr) {
        int r = 0;

        if (!js_is_array(measured))
                return add_launch(b, measured, family_vcpus, reterr);
        if (js_length(measured) == 0)
                return error_set(reterr, -EINVAL, "no launches");
        for (size_t i = 0; i < js_length(measured); i++) {
                r = add_launch(b, js_at(measured, i), family_vcpus, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "launch %zu", i + 1);
        }
        return r;
}

int refs_build_append(RefsBundle *b, RefsBundle *other) {
        RefsLaunch *grown = reallocarray(b->launches, b->n_launches + other->n_launches, sizeof(RefsLaunch));

        if (!grown)
                return -ENOMEM;
        b->launches = grown;
        memcpy(grown + b->n_launches, other->launches, other->n_launches * sizeof(RefsLaunch));
        FOREACH_ARRAY(l, other->launches, other->n_launches)
                FOREACH_ARRAY(run, l->runs, l->n_runs) {
                        free(run->id_signatures);
                        run->id_signatures = NULL;
                }
        b->n_launches += other->n_launches;
        b->n_rows += other->n_rows;
        other->n_launches = 0;
        return 0;
}
