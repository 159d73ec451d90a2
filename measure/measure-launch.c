/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "measure-launch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "error.h"
#include "measure-tdx.h"
#include "sev-cpu.h"

/* --- SEV-SNP --------------------------------------------------------------------------------------------------------- */

static int trace_page(void *userdata, const SnpPage *page) {
        const LaunchTraceContext *c = userdata;

        return c->trace(c->userdata,
                        &(LaunchStep) {
                                        .index = page->index,
                                        .gpa = page->gpa,
                                        .size = SEV_PAGE_SIZE,
                                        .type = snp_page_type_to_string(page->type),
                                        .source = page->source,
                                        .contents = page->contents,
                                        .digest = page->digest,
                                        .n_digest = SHA384_SIZE,
                        });
}

int launch_chain_init(SnpChain *c, LaunchTraceContext *context) {
        int r = snp_chain_init(c, NULL);

        if (r >= 0 && context->trace) {
                c->trace = trace_page;
                c->userdata = context;
        }
        return r;
}

/* The firmware's part of the chain: the prepared result, or page by page where each is to be shown. */
static int snp_firmware(const FirmwareImage *firmware, SnpChain *c, char **reterr) {
        if (!firmware->has_chain)
                return error_set(reterr, -EOPNOTSUPP,
                                "firmware: its size is not a multiple of 4 KiB, so SEV-SNP cannot measure it: use the unmodified file");
        if (c->trace && firmware->data)
                return snp_chain_image(
                                c, firmware->data, firmware->size, firmware_image_gpa(firmware), "firmware");
        memcpy(c->digest, firmware->chain, SHA384_SIZE);
        return 0;
}

/* Firmware and metadata; the chain was initialised. */
static int snp_prefix(const FirmwareImage *firmware, const LaunchSpec *spec, SnpChain *c, char **reterr) {
        unsigned needs = OVMF_NEED_METADATA | (spec->vcpus > 0 ? OVMF_NEED_RESET : 0) |
                        (spec->kernel_hashes ? OVMF_NEED_HASH_TABLE | OVMF_NEED_HASH_PAGE : 0);
        uint8_t table[SEV_HASH_TABLE_SIZE];
        size_t first = 0;
        int r;

        r = firmware_image_require(firmware, needs, reterr);
        if (r < 0)
                return r;
        if (spec->kernel_hashes)
                kernel_hashes_table(&spec->hashes, table);
        if (!c->trace && firmware->n_prefix > 0 && vmm_sections_are_common(vmm_row(spec->profile))) {
                memcpy(c->digest, firmware->prefix, SHA384_SIZE);
                first = firmware->n_prefix;
        } else {
                r = snp_firmware(firmware, c, reterr);
                if (r < 0)
                        return r;
        }
        return snp_chain_metadata(c, &firmware->info, first, spec->kernel_hashes ? table : NULL,
                        vmm_row(spec->profile), reterr);
}

int launch_snp_vmsas(const FirmwareImage *firmware, const LaunchSpec *spec, VmsaDigests *ret) {
        return vmsa_digests(&(VmsaSpec) { .profile = spec->profile,
                                            .entry = firmware->info.reset_address,
                                            .signature = spec->signature,
                                            .features = spec->features },
                        ret);
}

int launch_snp_start(const FirmwareImage *firmware, const LaunchSpec *spec, SnpChain *ret_chain,
                VmsaDigests *ret_vmsas, char **reterr) {
        int r = snp_chain_init(ret_chain, NULL);

        if (r >= 0)
                r = snp_prefix(firmware, spec, ret_chain, reterr);
        return r < 0 ? r : launch_snp_vmsas(firmware, spec, ret_vmsas);
}

static int snp_digest(const FirmwareImage *firmware, const LaunchSpec *spec, LaunchTrace trace,
                void *userdata, LaunchDigest *ret, char **reterr) {
        LaunchTraceContext context = { trace, userdata };
        _cleanup_(snp_chain_done) SnpChain chain = {};
        VmsaDigests digests;
        int r;

        r = launch_chain_init(&chain, &context);
        if (r >= 0)
                r = snp_prefix(firmware, spec, &chain, reterr);
        if (r >= 0)
                r = launch_snp_vmsas(firmware, spec, &digests);
        if (r >= 0)
                r = snp_chain_vmsas(&chain, &digests, 0, spec->vcpus);
        if (r < 0)
                return r;

        ret->algorithm = HASH_SHA384;
        ret->size = SHA384_SIZE;
        memcpy(ret->bytes, chain.digest, SHA384_SIZE);
        return 0;
}

int launch_ovmf_hash(const FirmwareImage *firmware, LaunchTrace trace, void *userdata, LaunchDigest *ret,
                char **reterr) {
        LaunchTraceContext context = { trace, userdata };
        _cleanup_(snp_chain_done) SnpChain chain = {};
        int r;

        r = launch_chain_init(&chain, &context);
        if (r >= 0)
                r = snp_firmware(firmware, &chain, reterr);
        if (r < 0)
                return r;
        *ret = (LaunchDigest) { .algorithm = HASH_SHA384, .size = SHA384_SIZE };
        memcpy(ret->bytes, chain.digest, SHA384_SIZE);
        return 0;
}

/* --- SEV and SEV-ES -------------------------------------------------------------------------------------------------- */

typedef struct SevRun {
        Hash *hash;
        LaunchTrace trace;
        void *userdata;
        uint64_t index;
} SevRun;

static int sev_show(
                SevRun *run, const char *type, const char *source, uint64_t gpa, const void *p, size_t n) {
        uint8_t contents[SHA256_SIZE], digest[SHA256_SIZE];
        _cleanup_hash_ Hash *copy = NULL;
        int r;

        if (!run->trace)
                return 0;
        r = hash_clone(run->hash, &copy);
        if (r >= 0)
                r = hash_final(copy, digest);
        if (r >= 0)
                r = hash_digest(HASH_SHA256, p, n, contents);
        if (r < 0)
                return r;
        return run->trace(run->userdata,
                        &(LaunchStep) {
                                        .index = run->index++,
                                        .gpa = gpa,
                                        .size = n,
                                        .type = type,
                                        .source = source,
                                        .contents = contents,
                                        .digest = digest,
                                        .n_digest = SHA256_SIZE,
                        });
}

static int sev_add(
                SevRun *run, const char *type, const char *source, uint64_t gpa, const void *p, size_t n) {
        int r = hash_update(run->hash, p, n);

        return r < 0 ? r : sev_show(run, type, source, gpa, p, n);
}

void launch_es_pages(const FirmwareImage *firmware, const LaunchSpec *spec,
                uint8_t ret_boot[static SEV_PAGE_SIZE], uint8_t ret_application[static SEV_PAGE_SIZE]) {
        VmsaSpec vmsa = { .profile = spec->profile,
                .entry = firmware->info.reset_address,
                .signature = spec->signature,
                .features = spec->features };

        vmsa_build(&vmsa, ret_boot);
        vmsa.application = true;
        vmsa_build(&vmsa, ret_application);
}

static int sev_add_vmsas(SevRun *run, const FirmwareImage *firmware, const LaunchSpec *spec) {
        uint8_t boot[SEV_PAGE_SIZE], application[SEV_PAGE_SIZE];

        launch_es_pages(firmware, spec, boot, application);
        for (unsigned i = 0; i < spec->vcpus; i++) {
                char source[32];
                int r;

                (void) snprintf(source, sizeof(source), "vCPU %u", i);
                r = sev_add(run, "vmsa", source, 0, i == 0 ? boot : application, SEV_PAGE_SIZE);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool sev_has_vmsas(const LaunchSpec *spec) {
        return coco_of(spec->mode)->vcpus_measured && spec->vcpus > 0;
}

static int sev_start(const FirmwareImage *firmware, const LaunchSpec *spec, SevRun *run, char **reterr) {
        unsigned needs = (spec->kernel_hashes ? OVMF_NEED_HASH_TABLE : 0) |
                        (sev_has_vmsas(spec) ? OVMF_NEED_RESET : 0);
        uint8_t table[SEV_HASH_TABLE_SIZE];
        int r;

        r = firmware_image_require(firmware, needs, reterr);
        if (r < 0)
                return r;
        if (!firmware->state)
                return error_set(reterr, -EOPNOTSUPP,
                                "firmware: SEV and SEV-ES hash the image itself, so a stored hash cannot be used: pass the file");
        r = hash_clone(firmware->state, &run->hash);
        if (r >= 0)
                r = sev_show(run, "data", "firmware", firmware_image_gpa(firmware), firmware->data,
                                firmware->size);
        if (r < 0 || !spec->kernel_hashes)
                return r;
        kernel_hashes_table(&spec->hashes, table);
        return sev_add(run, "data", "kernel hashes", firmware->info.hash_table.base, table, sizeof(table));
}

int launch_sev_start(const FirmwareImage *firmware, const LaunchSpec *spec, Hash **ret_hash, char **reterr) {
        SevRun run = {};
        int r = sev_start(firmware, spec, &run, reterr);

        if (r < 0) {
                (void) hash_free(run.hash);
                return r;
        }
        *ret_hash = run.hash;
        return 0;
}

static int sev_digest(const FirmwareImage *firmware, const LaunchSpec *spec, LaunchTrace trace,
                void *userdata, LaunchDigest *ret, char **reterr) {
        SevRun run = { .trace = trace, .userdata = userdata };
        int r;

        r = sev_start(firmware, spec, &run, reterr);
        if (r >= 0 && sev_has_vmsas(spec))
                r = sev_add_vmsas(&run, firmware, spec);
        if (r >= 0)
                r = hash_final(run.hash, ret->bytes);
        (void) hash_free(run.hash);
        ret->algorithm = HASH_SHA256;
        ret->size = SHA256_SIZE;
        return r;
}

/* How each technology measures; a row without functions measures nothing. */
typedef struct LaunchMethod {
        unsigned firmware_work;
        int (*digest)(const FirmwareImage *firmware, const LaunchSpec *spec, LaunchTrace trace,
                        void *userdata, LaunchDigest *ret, char **reterr);
} LaunchMethod;

static const LaunchMethod methods[] = {
        [COCO_NONE] = { FIRMWARE_SHA256, NULL },
        [COCO_SEV] = { FIRMWARE_SHA256, sev_digest },
        [COCO_SEV_ES] = { FIRMWARE_SHA256, sev_digest },
        [COCO_SEV_SNP] = { FIRMWARE_SNP, snp_digest },
        [COCO_TDX] = { 0, tdx_digest },
};
static_assert(ELEMENTSOF(methods) == _COCO_MODE_MAX, "every mode has a row");

unsigned launch_firmware_work(CocoMode mode) {
        return methods[mode].firmware_work;
}

bool launch_is_chain(CocoMode mode) {
        return methods[mode].digest == snp_digest;
}

bool launch_is_whole(CocoMode mode) {
        return methods[mode].digest == tdx_digest;
}

int launch_digest(const FirmwareImage *firmware, const LaunchSpec *spec, LaunchTrace trace, void *userdata,
                LaunchDigest *ret, char **reterr) {
        const LaunchMethod *method = methods + spec->mode;
        LaunchDigest d = {};
        int r;

        if (spec->vcpus > VCPUS_MAX)
                return error_set(reterr, -EINVAL, "%u vCPUs are more than %u", spec->vcpus, VCPUS_MAX);
        if (!method->digest)
                return error_set(reterr, -EINVAL, "a launch without SEV has no digest");
        r = method->digest(firmware, spec, trace, userdata, &d, reterr);
        if (r < 0)
                return r;
        *ret = d;
        return 0;
}

VmmProfile launch_profile_of_plan(const LaunchPlan *plan) {
        const Coco *coco = coco_of(plan->mode);

        /* The older way to start an SEV guest leaves other registers in its VMSAs. */
        return plan->sev.legacy_vm_type && coco->launch_session && coco->vcpus_measured ? VMM_QEMU_PRE_6_10
                                                                                        : VMM_QEMU;
}

int launch_spec_from_plan(const LaunchPlan *plan, LaunchSpec *ret, char **reterr) {
        LaunchSpec s = { .mode = plan->mode,
                .profile = launch_profile_of_plan(plan),
                .vcpus = plan->vcpus,
                .signature = plan->sev.cpu_signature,
                .features = coco_of(plan->mode)->guest_features ? plan->sev.features : 0,
                .kernel_hashes = plan->sev.kernel_hashes,
                .two_pass = plan->tdx.two_pass };

        if (coco_of(plan->mode)->vcpus_measured && s.signature == 0) {
                int r = sev_cpu_resolve(plan->cpu_model ?: "", &s.signature, reterr);

                if (r < 0)
                        return r;
        }
        *ret = s;
        return 0;
}
