/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The launch digests that a registration means by hashes: firmware that its owner has uploaded, the hashes of kernel, initrd and command
 * line, and every vCPU count, CPU model and flavour of VMSA that it allows. Done once, when it is registered. */

#include <errno.h>
#include <string.h>

#include "attestd-service.h"
#include "error.h"
#include "fd.h"
#include "measure-launch.h"
#include "sev-cpu.h"
#include "strutil.h"

#define CPU_MODEL_DEFAULT "EPYC-v4"

typedef struct Variants {
        unsigned first, last;                       /* vCPUs */
        uint32_t signatures[REGISTRATION_CPUS_MAX]; /* of CPU models */
        size_t n_signatures;
        VmsaFlavour flavours[2];
        size_t n_flavours;
} Variants;

static int read_model(const Json *j, Variants *v, char **reterr) {
        const char *name = js_string_value(j);
        const SevCpu *cpu = name ? sev_cpu_find(name) : NULL;

        if (!cpu)
                return error_set(reterr, -EINVAL, "cpu-model: '%s' is no CPU model of QEMU's that is known",
                                name ?: "");
        if (v->n_signatures >= ELEMENTSOF(v->signatures))
                return error_set(reterr, -EINVAL, "cpu-model: more than %zu", ELEMENTSOF(v->signatures));
        v->signatures[v->n_signatures++] = sev_cpu_signature(cpu->family, cpu->model, cpu->stepping);
        return 0;
}

static int read_variants(const Registration *reg, Variants *v, char **reterr) {
        size_t n = js_is_array(reg->cpu_model) ? js_length(reg->cpu_model) : 0;
        int r = 0;

        *v = (Variants) {
                .first = (unsigned) (reg->cpu_count ?: 1),
                .last = (unsigned) (reg->cpu_count ?: reg->cpu_count_max),
        };
        if (!streq_ptr(reg->vm_type, "legacy"))
                v->flavours[v->n_flavours++] = VMSA_QEMU;
        if (!streq_ptr(reg->vm_type, "new"))
                v->flavours[v->n_flavours++] = VMSA_QEMU_PRE_6_10;
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = read_model(js_at(reg->cpu_model, i), v, reterr);
        if (r >= 0 && n == 0) {
                _cleanup_js_ Json *model =
                                reg->cpu_model ? js_ref(reg->cpu_model) : js_string(CPU_MODEL_DEFAULT);

                r = model ? read_model(model, v, reterr) : -ENOMEM;
        }
        return r;
}

static int es_digests(const FirmwareImage *f, const LaunchSpec *spec, const Variants *v, DigestList *l,
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

        if (reg->n_computed_snp >= REGISTRATION_DIGESTS_MAX)
                return error_set(reterr, -EINVAL, "more than %u values", REGISTRATION_DIGESTS_MAX);
        items = reallocarray(reg->computed_snp, reg->n_computed_snp + 1, sizeof(Digest48));
        if (!items)
                return -ENOMEM;
        reg->computed_snp = items;
        memcpy(items[reg->n_computed_snp++], digest, sizeof(Digest48));
        return 0;
}

/* The chain of n vCPUs is the beginning of that of n + 1. */
static int snp_digests(const FirmwareImage *f, LaunchSpec *spec, const Variants *v, Registration *reg,
                char **reterr) {
        int r = 0;

        spec->features = reg->guest_features;
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

static SevMode mode_of(const Registration *reg) {
        return streq(reg->scheme, "amd-sev-snp")  ? SEV_MODE_SEV_SNP
                        : registration_is_es(reg) ? SEV_MODE_SEV_ES
                                                  : SEV_MODE_SEV;
}

static int firmware_digests(const FirmwareImage *f, Registration *reg, const Variants *v, char **reterr) {
        LaunchSpec spec = { .mode = mode_of(reg), .kernel_hashes = reg->kernel.given };
        LaunchDigest d;
        int r;

        memcpy(spec.hashes.kernel, reg->kernel.value, SHA256_SIZE);
        memcpy(spec.hashes.initrd, reg->initrd.value, SHA256_SIZE);
        memcpy(spec.hashes.words, reg->cmdline.value, SHA256_SIZE);
        if (spec.mode == SEV_MODE_SEV) {
                r = launch_digest(f, &spec, NULL, NULL, &d, reterr);
                return r < 0 ? r
                             : digest_list_add(&reg->computed, REGISTRATION_DIGESTS_MAX, d.bytes, reterr);
        }
        if (spec.mode == SEV_MODE_SEV_SNP)
                return snp_digests(f, &spec, v, reg, reterr);
        r = firmware_image_require(f, OVMF_NEED_RESET, reterr);
        FOREACH_ARRAY(signature, v->signatures, v->n_signatures)
                FOREACH_ARRAY(flavour, v->flavours, v->n_flavours) {
                        spec.signature = *signature;
                        spec.flavour = *flavour;
                        if (r >= 0)
                                r = es_digests(f, &spec, v, &reg->computed, reterr);
                }
        return r;
}

/* Absent hashes are those of no initrd and of no words, as QEMU writes them. */
static int fill_hashes(Registration *reg) {
        static const uint8_t nul = 0;
        int r = 0;

        if (!reg->initrd.given)
                r = hash_digest(HASH_SHA256, NULL, 0, reg->initrd.value);
        if (r >= 0 && !reg->cmdline.given)
                r = hash_digest(HASH_SHA256, &nul, 1, reg->cmdline.value);
        return r;
}

int service_digests(const Service *s, int64_t owner, Registration *reg, char **reterr) {
        Variants v;
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
                                        "firmware-hashes: entry %zu: the digest covers more than the "
                                        "firmware, so its file is "
                                        "needed: upload it first (POST /firmware)",
                                        i);
                if (r >= 0)
                        r = plan_input_add(&in, "firmware", fd, 0, size);
                if (r >= 0)
                        r = firmware_image_load(&in, launch_firmware_work(mode_of(reg)), &image, reterr);
                if (r >= 0)
                        r = firmware_digests(&image, reg, &v, reterr);
                if (r == -EOPNOTSUPP)
                        return error_prefix(reterr, -EINVAL, "firmware-hashes: entry %zu", i);
        }
        return r;
}
