/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "coco.h"

#include <assert.h>

#include "guest-policy.h"
#include "ovmf-need.h"
#include "strutil.h"

static const CocoPolicyWord sev_words[] = {
        { "debug", SEV_POLICY_NODBG, true },
        { "nodbg", SEV_POLICY_NODBG, false },
        { "keysharing", SEV_POLICY_NOKS, true },
        { "noks", SEV_POLICY_NOKS, false },
        { "es", SEV_POLICY_ES, false },
        { "nosend", SEV_POLICY_NOSEND, false },
        { "domain", SEV_POLICY_DOMAIN, false },
        { "sev", SEV_POLICY_SEV, false },
        {},
};

static const CocoPolicyWord snp_words[] = {
        { "smt", SNP_POLICY_SMT, false },
        { "nosmt", SNP_POLICY_SMT, true },
        { "migrate-ma", SNP_POLICY_MIGRATE_MA, false },
        { "debug", SNP_POLICY_DEBUG, false },
        { "single-socket", SNP_POLICY_SINGLE_SOCKET, false },
        { "cxl-allow", SNP_POLICY_CXL, false },
        { "mem-aes-256-xts", SNP_POLICY_AES_256_XTS, false },
        { "rapl-dis", SNP_POLICY_RAPL_DISABLED, false },
        { "ciphertext-hiding", SNP_POLICY_CIPHERTEXT_HIDING, false },
        { "page-swap-disable", SNP_POLICY_PAGE_SWAP_DISABLE, false },
        {},
};

#define AMD_HOST .vendor = COCO_VENDOR_AMD, .kvm_module = "kvm_amd", .module_remedy = "modprobe kvm_amd"

static const Coco technologies[] = {
        [COCO_NONE] = { .name = "no", .label = "no confidential computing" },
        [COCO_SEV] = {
                .name = "sev",
                .label = "SEV",
                .scheme = "amd-sev",
                .firmware_feature = "amd-sev",
                .qemu_object = "sev-guest",
                .kernel_needs = OVMF_NEED_HASH_TABLE,
                .launch_session = true,
                .digest_algorithm = "sha256",
                .digest_size = 32,
                .policy = {
                        .initial = SEV_POLICY_DEFAULT,
                        .max = SEV_POLICY_MAX,
                        .clear = SEV_POLICY_ES,
                        .wrong = "bit 2 (ES) is set, which is for SEV-ES guests; use --coco=sev-es",
                        .debug = SEV_POLICY_NODBG,
                        .debug_if_clear = true,
                        .words = sev_words,
                },
                .host = {
                        AMD_HOST,
                        .amd = { .cpuid_bit = 1 },
                        .kvm_vm_type = 2,
                        .linux_minor = 10,
                        .kvm_parameter = "sev",
                        .key_pool = "sev",
                        .pins_memory = true,
                        .cpu_remedy = "enable SMEE in the BIOS; inside a VM, the host must expose it",
                        .kernel_remedy = "boot Linux 6.10 or later, or use --sev-vm-type=legacy",
                        .kvm_remedy = "enable SMEE in the BIOS, load kvm_amd with sev=1 sev_es=1",
                },
        },
        [COCO_SEV_ES] = {
                .name = "sev-es",
                .label = "SEV-ES",
                .scheme = "amd-sev-es",
                .firmware_feature = "amd-sev-es",
                .qemu_object = "sev-guest",
                .firmware_needs = OVMF_NEED_RESET,
                .kernel_needs = OVMF_NEED_HASH_TABLE,
                .vcpus_measured = true,
                .encrypted_registers = true,
                .launch_session = true,
                .digest_algorithm = "sha256",
                .digest_size = 32,
                .policy = {
                        .initial = SEV_ES_POLICY_DEFAULT,
                        .max = SEV_POLICY_MAX,
                        .set = SEV_POLICY_ES,
                        .wrong = "bit 2 (ES) is clear, which is for plain SEV guests; set it or use --coco=sev",
                        .debug = SEV_POLICY_NODBG,
                        .debug_if_clear = true,
                        .words = sev_words,
                },
                .host = {
                        AMD_HOST,
                        .amd = { .cpuid_bit = 3, .es_asids = true, .es_setup = true },
                        .kvm_vm_type = 3,
                        .linux_minor = 10,
                        .kvm_parameter = "sev_es",
                        .key_pool = "sev_es",
                        .pins_memory = true,
                        .cpu_remedy = "enable SMEE in the BIOS; inside a VM, the host must expose it",
                        .kernel_remedy = "boot Linux 6.10 or later, or use --sev-vm-type=legacy",
                        .kvm_remedy = "enable SMEE in the BIOS, load kvm_amd with sev=1 sev_es=1",
                },
        },
        [COCO_SEV_SNP] = {
                .name = "sev-snp",
                .label = "SEV-SNP",
                .scheme = "amd-sev-snp",
                .firmware_feature = "amd-sev-snp",
                .qemu_object = "sev-snp-guest",
                .firmware_needs = OVMF_NEED_RESET | OVMF_NEED_METADATA,
                .kernel_needs = OVMF_NEED_HASH_TABLE | OVMF_NEED_HASH_PAGE,
                .kernel_required = true,
                .vcpus_measured = true,
                .encrypted_registers = true,
                .guest_memfd = true,
                .guest_report = true,
                .id_block = true,
                .guest_features = true,
                .digest_algorithm = "sha384",
                .digest_size = 48,
                .policy = {
                        .initial = SNP_POLICY_DEFAULT,
                        .max = UINT64_MAX,
                        .set = SNP_POLICY_RESERVED_ONE,
                        .wrong = "bit 17 must be set (the default is 0x30000; SEV policies such as 0x7 do not fit)",
                        .debug = SNP_POLICY_DEBUG,
                        .kvm_limits = true,
                        .words = snp_words,
                },
                .host = {
                        AMD_HOST,
                        .amd = { .cpuid_bit = 4, .es_asids = true, .rmp = true },
                        .kvm_vm_type = 4,
                        .linux_minor = 11,
                        .kvm_parameter = "sev_snp",
                        .key_pool = "sev_es",
                        .cpu_remedy = "SEV-SNP needs EPYC Milan or later; inside a VM, the host must expose it",
                        .kernel_remedy = "boot Linux 6.11 or later",
                        .kvm_remedy = "enable SNP and RMP coverage in the BIOS, boot with mem_encrypt=on iommu=nopt, load kvm_amd with sev_snp=1",
                },
        },
};
static_assert(ELEMENTSOF(technologies) == _COCO_MODE_MAX, "every mode has a row");

const Coco *coco_of(CocoMode m) {
        return technologies + (m >= 0 && m < _COCO_MODE_MAX ? m : COCO_NONE);
}

const char *coco_mode_to_string(CocoMode m) {
        return m >= 0 && m < _COCO_MODE_MAX ? technologies[m].name : NULL;
}

CocoMode coco_mode_from_string(const char *s) {
        for (int i = 0; i < _COCO_MODE_MAX; i++)
                if (streq(s, technologies[i].name))
                        return (CocoMode) i;
        return _COCO_MODE_INVALID;
}

CocoMode coco_mode_from_scheme(const char *s) {
        for (int i = 0; i < _COCO_MODE_MAX; i++)
                if (s && technologies[i].scheme && streq(s, technologies[i].scheme))
                        return (CocoMode) i;
        return _COCO_MODE_INVALID;
}

static bool has_fixed_bits(const Coco *c, uint64_t policy) {
        return (policy & c->policy.set) == c->policy.set && !(policy & c->policy.clear);
}

CocoMode coco_mode_from_object(const char *qemu_object, uint64_t policy) {
        CocoMode found = COCO_NONE;

        for (int i = 0; i < _COCO_MODE_MAX; i++) {
                const Coco *c = technologies + i;

                if (!c->qemu_object || !streq(qemu_object, c->qemu_object))
                        continue;
                /* A policy that is none of theirs is for the caller to refuse. */
                if (found == COCO_NONE || has_fixed_bits(c, policy))
                        found = (CocoMode) i;
        }
        return found;
}

bool coco_policy_fits(const Coco *c, uint64_t policy) {
        return policy <= c->policy.max && has_fixed_bits(c, policy);
}

bool coco_policy_allows_debug(const Coco *c, uint64_t policy) {
        return !(policy & c->policy.debug) == c->policy.debug_if_clear;
}
