/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "coco.h"

#include <assert.h>

#include "guest-policy.h"
#include "ovmf-need.h"
#include "strutil.h"
#include "tdx-abi.h"

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

static const CocoPolicyWord tdx_words[] = {
        { "debug", TDX_ATTRIBUTE_DEBUG, false },
        { "sept-ve-disable", TDX_ATTRIBUTE_SEPT_VE_DISABLE, false },
        { "no-sept-ve-disable", TDX_ATTRIBUTE_SEPT_VE_DISABLE, true },
        { "pks", TDX_ATTRIBUTE_PKS, false },
        { "perfmon", TDX_ATTRIBUTE_PERFMON, false },
        {},
};

#define AMD_HOST                                                                                            \
        .vendor = COCO_VENDOR_AMD, .kvm_module = "kvm_amd", .key_noun = "ASIDs",                            \
        .no_virtualization = "this CPU does not report SVM", .module_remedy = "modprobe kvm_amd",           \
        .device_remedy = "load kvm_amd; in a VM or container, the host must pass the device through",       \
        .virtualization_remedy = "enable SVM in the BIOS; inside a VM, the host must expose it",            \
        .qemu_remedy = "install QEMU 10.0 or later (bookworm-backports), or pass --qemu=PATH",              \
        .firmware_remedy = "name one from OvmfPkg/AmdSev with --firmware= (Debian sid: ovmf-amdsev)"

#define AMD_CPU "EPYC-v4"

static const Coco technologies[] = {
        [COCO_NONE] = { .name = "no", .label = "no confidential computing", .cpu_model = AMD_CPU },
        [COCO_SEV] = {
                .name = "sev",
                .label = "SEV",
                .scheme = "amd-sev",
                .firmware_feature = "amd-sev",
                .qemu_object = "sev-guest",
                .qemu_id = "sev0",
                .cpu_model = AMD_CPU,
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
                .qemu_id = "sev0",
                .cpu_model = AMD_CPU,
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
                .qemu_id = "sev0",
                .cpu_model = AMD_CPU,
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
        [COCO_TDX] = {
                .name = "tdx",
                .label = "TDX",
                .scheme = "intel-tdx",
                .firmware_feature = "intel-tdx",
                .qemu_object = "tdx-guest",
                .qemu_id = "tdx0",
                .cpu_model = "host",
                .cpu_of_host = true,
                .emulated = true,
                .owner_values = true,
                .firmware_needs = OVMF_NEED_TDX_METADATA,
                .encrypted_registers = true,
                .guest_memfd = true,
                .guest_report = true,
                .event_log = true,
                .strings_unseen = true,
                .digest_algorithm = "sha384",
                .digest_size = 48,
                .policy = {
                        .initial = TDX_ATTRIBUTES_DEFAULT,
                        .max = UINT64_MAX,
                        .clear = ~TDX_ATTRIBUTES_KNOWN,
                        .wrong = "only the bits 0 (debug), 28 (sept-ve-disable), 30 (pks) and 63 (perfmon) have a meaning to QEMU",
                        .debug = TDX_ATTRIBUTE_DEBUG,
                        .unlaunched = TDX_ATTRIBUTE_DEBUG | TDX_ATTRIBUTE_PERFMON,
                        .words = tdx_words,
                },
                .host = {
                        .vendor = COCO_VENDOR_INTEL,
                        .kvm_vm_type = 5,
                        .linux_minor = 16,
                        .kvm_module = "kvm_intel",
                        .kvm_parameter = "tdx",
                        .key_pool = "tdx",
                        .key_noun = "keys",
                        .no_virtualization = "this CPU does not report VMX",
                        .cpu_remedy = "TDX needs a Xeon of the fourth generation with TDX, or later; enable it in the BIOS",
                        .module_remedy = "modprobe kvm_intel",
                        .kernel_remedy = "boot Linux 6.16 or later",
                        .kvm_remedy = "enable TDX in the BIOS, boot with nohibernate, load kvm_intel with tdx=1",
                        .device_remedy = "load kvm_intel; in a container, the host must pass the device through",
                        .virtualization_remedy = "enable VMX in the BIOS; TDX does not work inside a VM",
                        .qemu_remedy = "install QEMU 10.1 or later (Debian sid has it), or pass --qemu=PATH",
                        .firmware_remedy = "name one of OvmfPkg/IntelTdx with --firmware= (Debian sid: ovmf-inteltdx)",
                },
        },
};
static_assert(ELEMENTSOF(technologies) == _COCO_MODE_MAX, "every mode has a row");

const CocoMode coco_by_strength[COCO_STRENGTHS] = { COCO_SEV_SNP, COCO_TDX, COCO_SEV_ES, COCO_SEV };

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
