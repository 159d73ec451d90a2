/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The launch digests that a registration means by hashes: firmware that its owner has uploaded, the hashes of kernel, initrd and command
 * line, and every vCPU count, CPU model and VMM profile that it allows. Computed once, when it is registered. */

#include "attestd-digests.h"

#include <errno.h>
#include <string.h>

#include "attestd-service.h"
#include "error.h"
#include "fd.h"
#include "measure-launch.h"
#include "sev-cpu.h"
#include "strutil.h"

#define CPU_MODEL_DEFAULT "EPYC-v4"

static int read_model(const Json *j, DigestVariants *v, char **reterr) {
        const char *name = js_string_value(j);
        const SevCpu *cpu = name ? sev_cpu_find(name) : NULL;

        if (!cpu)
                return error_set(reterr, -EINVAL, "cpu-model: unknown CPU model '%s'", name ?: "");
        if (v->n_signatures >= ELEMENTSOF(v->signatures))
                return error_set(reterr, -EINVAL, "cpu-model: more than %zu", ELEMENTSOF(v->signatures));
        v->signatures[v->n_signatures++] = sev_cpu_signature(cpu->family, cpu->model, cpu->stepping);
        return 0;
}

static int read_variants(const Registration *reg, DigestVariants *v, char **reterr) {
        size_t n = js_is_array(reg->cpu_model) ? js_length(reg->cpu_model) : 0;
        bool session = coco_of(reg->mode)->launch_session;
        int r = 0;

        *v = (DigestVariants) {
                .first = (unsigned) (reg->cpu_count ?: 1),
                .last = (unsigned) (reg->cpu_count ?: reg->cpu_count_max),
        };
        if (session && reg->sev.vm_types != VM_TYPES_LEGACY)
                v->profiles[v->n_profiles++] = VMM_QEMU;
        if (session && reg->sev.vm_types != VM_TYPES_NEW)
                v->profiles[v->n_profiles++] = VMM_QEMU_PRE_6_10;
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = read_model(js_at(reg->cpu_model, i), v, reterr);
        if (r >= 0 && n == 0) {
                _cleanup_js_ Json *model =
                                reg->cpu_model ? js_ref(reg->cpu_model) : js_string(CPU_MODEL_DEFAULT);

                r = model ? read_model(model, v, reterr) : -ENOMEM;
        }
        return r;
}

static int es_digests(const FirmwareImage *f, const LaunchSpec *spec, const DigestVariants *v, DigestList *l,
                char **reterr) {
        uint8_t boot[SEV_PAGE_SIZE], application[SEV_PAGE_SIZE];
        _cleanup_hash_ Hash *all = NULL, *one = NULL;
        Digest32 d;
        int r = launch_sev_start(f, spec, &all, reterr);

        if (r >= 0)
                r = hash_clone(all, &one);
        launch_es_pages(f, spec, boot, application);
        for (unsigned i = 1; r >= 0 && i <= v->last; i++) {
                r = hash_update(all, i == 1 ? boot : application, SEV_PAGE_SIZE);
                if (r >= 0 && i >= v->first) {
                        r = hash_assign(one, all);
                        if (r >= 0)
                                r = hash_final(one, d);
                        if (r >= 0)
                                r = digest_list_add(l, REGISTRATION_DIGESTS_MAX, d, reterr);
                }
        }
        return r;
}

static int add_snp(Registration *reg, const uint8_t digest[static SHA384_SIZE], char **reterr) {
        Digest48 *items;

        if (reg->snp.n_computed >= REGISTRATION_DIGESTS_MAX)
                return error_set(reterr, -EINVAL, "more than %u values", REGISTRATION_DIGESTS_MAX);
        items = reallocarray(reg->snp.computed, reg->snp.n_computed + 1, sizeof(Digest48));
        if (!items)
                return -ENOMEM;
        reg->snp.computed = items;
        memcpy(items[reg->snp.n_computed++], digest, sizeof(Digest48));
        return 0;
}

/* The chain of n vCPUs is the beginning of that of n + 1. */
int digests_snp(const FirmwareImage *f, LaunchSpec *spec, const DigestVariants *v, Registration *reg,
                char **reterr) {
        int r = 0;

        spec->features = reg->snp.guest_features;
        FOREACH_ARRAY(signature, v->signatures, v->n_signatures) {
                _cleanup_(snp_chain_done) SnpChain chain = {};
                VmsaDigests vmsas;

                spec->signature = *signature;
                r = launch_snp_start(f, spec, &chain, &vmsas, reterr);
                for (unsigned i = 1; r >= 0 && i <= v->last; i++) {
                        r = snp_chain_vmsas(&chain, &vmsas, i - 1, i);
                        if (r >= 0 && i >= v->first)
                                r = add_snp(reg, chain.digest, reterr);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

int digests_sev(const FirmwareImage *f, LaunchSpec *spec, _unused_ const DigestVariants *v,
                Registration *reg, char **reterr) {
        LaunchDigest d;
        int r = launch_digest(f, spec, NULL, NULL, &d, reterr);

        return r < 0 ? r : digest_list_add(&reg->sev.computed, REGISTRATION_DIGESTS_MAX, d.bytes, reterr);
}

int digests_sev_es(const FirmwareImage *f, LaunchSpec *spec, const DigestVariants *v, Registration *reg,
                char **reterr) {
        int r = firmware_image_require(f, OVMF_NEED_RESET, reterr);

        FOREACH_ARRAY(signature, v->signatures, v->n_signatures)
                FOREACH_ARRAY(profile, v->profiles, v->n_profiles) {
                        spec->signature = *signature;
                        spec->profile = *profile;
                        if (r >= 0)
                                r = es_digests(f, spec, v, &reg->sev.computed, reterr);
                }
        return r;
}

static LaunchSpec spec_of(const Registration *reg) {
        LaunchSpec spec = { .mode = reg->mode, .kernel_hashes = reg->kernel.given };

        memcpy(spec.hashes.kernel, reg->kernel.value, SHA256_SIZE);
        memcpy(spec.hashes.initrd, reg->initrd.value, SHA256_SIZE);
        memcpy(spec.hashes.cmdline, reg->cmdline.value, SHA256_SIZE);
        return spec;
}

/* Absent hashes are those of no initrd and of an empty command line, as QEMU writes them. */
static int fill_hashes(Registration *reg) {
        static const uint8_t nul = 0;
        int r = 0;

        if (!reg->initrd.given)
                r = hash_digest(HASH_SHA256, NULL, 0, reg->initrd.value);
        if (r >= 0 && !reg->cmdline.given)
                r = hash_digest(HASH_SHA256, &nul, 1, reg->cmdline.value);
        return r;
}

int service_digests(
                const Service *s, int64_t owner, Registration *reg, DigestsFunction digests, char **reterr) {
        LaunchSpec spec;
        DigestVariants v;
        int r;

        if (reg->firmware.n_items == 0 || registration_firmware_suffices(reg))
                return 0;
        r = read_variants(reg, &v, reterr);
        if (r >= 0)
                r = fill_hashes(reg);
        for (size_t i = 0; r >= 0 && i < reg->firmware.n_items; i++) {
                _cleanup_(firmware_image_done) FirmwareImage image = {};
                _cleanup_(plan_input_done) PlanInput in = {};
                _cleanup_close_ int fd = -EBADF;
                uint64_t size;

                r = s->store->ops->firmware_get(s->store, owner, reg->firmware.items[i], &fd, &size);
                if (r == -ENOENT)
                        return error_set(reterr, -EINVAL,
                                        "firmware-hashes: entry %zu: the launch digest covers more than the firmware, so the firmware file is required; "
                                        "upload it first (POST /firmware)",
                                        i);
                if (r >= 0)
                        r = plan_input_add(&in, "firmware", fd, 0, size);
                if (r >= 0)
                        r = firmware_image_load(&in, launch_firmware_work(reg->mode), &image, reterr);
                spec = spec_of(reg);
                if (r >= 0)
                        r = digests(&image, &spec, &v, reg, reterr);
                if (r == -EOPNOTSUPP)
                        return error_prefix(reterr, -EINVAL, "firmware-hashes: entry %zu", i);
        }
        return r;
}
