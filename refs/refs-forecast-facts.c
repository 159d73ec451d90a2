/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What changed when, with sources. Only what a host does without being asked: Secure TSC (Linux 6.18, features 0x201) is set by an option of QEMU, and so
 * changes nothing here. In the order in which they happen to a launch: first how it is started, then its features. Each row is compared with launches on
 * the simulated host (tests/interop/test_forecast_launches.py), or with `measure` where no QEMU or kernel of that age runs. */

#include "refs-forecast.h"

#define SEV_ES  (1u << COCO_SEV_ES)
#define SEV_SNP (1u << COCO_SEV_SNP)

#define FEATURE_DEBUG_SWAP UINT64_C(0x20) /* AMD 24593, SEV_FEATURES */

#define SYNC_VMSA "Linux arch/x86/kvm/svm/sev.c, sev_es_sync_vmsa(); sev-snp-measure 0.0.10"
#define SWAP      "Linux d1f85fbe836e, reverted by 5abf6dceb066"

static const ForecastFact facts[] = {
        /* SEV-ES stays: what was started by KVM_SEV_ES_INIT is so on later kernels, too. */
        { FORECAST_KERNEL, { 6, 10, 0 }, {}, SEV_SNP, VMM_QEMU_PRE_6_10, VMM_QEMU, 0, FEATURE_DEBUG_SWAP,
                        false, "since Linux 6.10 KVM_SEV_INIT2 has the FPU's state in the VMSA", SYNC_VMSA },
        { FORECAST_KERNEL, {}, { 6, 10, 0 }, SEV_ES | SEV_SNP, VMM_QEMU, VMM_QEMU_PRE_6_10, 0, 0, false,
                        "before Linux 6.10 the VMSA has no state of the FPU", SYNC_VMSA },
        { FORECAST_QEMU, {}, { 9, 1, 0 }, SEV_ES, VMM_QEMU, VMM_QEMU_PRE_6_10, 0, 0, false,
                        "QEMU before 9.1 starts SEV-ES guests by KVM_SEV_ES_INIT, without state of the FPU",
                        "QEMU qapi/qom.json, SevGuestProperties: legacy-vm-type since 9.1" },
        { FORECAST_QEMU, {}, { 9, 1, 0 }, SEV_SNP, VMM_QEMU, VMM_QEMU, 0, 0, true,
                        "QEMU before 9.1 has no sev-snp-guest: the guest is not started",
                        "QEMU qapi/qom.json, SevSnpGuestProperties: since 9.1" },
        { FORECAST_KERNEL, { 6, 6, 0 }, { 6, 6, 24 }, SEV_ES, VMM_QEMU_PRE_6_10, VMM_QEMU_PRE_6_10,
                        FEATURE_DEBUG_SWAP, 0, false,
                        "Linux 6.6.0 to 6.6.23 swaps debug registers of SEV-ES guests by default", SWAP },
        { FORECAST_KERNEL, { 6, 7, 0 }, { 6, 7, 12 }, SEV_ES, VMM_QEMU_PRE_6_10, VMM_QEMU_PRE_6_10,
                        FEATURE_DEBUG_SWAP, 0, false,
                        "Linux 6.7.0 to 6.7.11 swaps debug registers of SEV-ES guests by default", SWAP },
        { FORECAST_KERNEL, {}, { 6, 6, 0 }, SEV_ES, VMM_QEMU_PRE_6_10, VMM_QEMU_PRE_6_10, 0,
                        FEATURE_DEBUG_SWAP, false,
                        "before Linux 6.6 debug registers of guests are not swapped", SWAP },
        { FORECAST_KERNEL, { 6, 6, 24 }, { 6, 7, 0 }, SEV_ES, VMM_QEMU_PRE_6_10, VMM_QEMU_PRE_6_10, 0,
                        FEATURE_DEBUG_SWAP, false,
                        "since Linux 6.6.24 debug registers of guests are swapped with kvm_amd.debug_swap=1 only",
                        SWAP },
        { FORECAST_KERNEL, { 6, 7, 12 }, { 6, 10, 0 }, SEV_ES, VMM_QEMU_PRE_6_10, VMM_QEMU_PRE_6_10, 0,
                        FEATURE_DEBUG_SWAP, false,
                        "since Linux 6.7.12 debug registers of guests are swapped with kvm_amd.debug_swap=1 only",
                        SWAP },
        { FORECAST_KERNEL, { 6, 10, 0 }, {}, SEV_ES, VMM_QEMU_PRE_6_10, VMM_QEMU_PRE_6_10, 0,
                        FEATURE_DEBUG_SWAP, false, "since Linux 6.10 KVM_SEV_ES_INIT sets no features",
                        "Linux 6.10 arch/x86/kvm/svm/sev.c, sev_guest_init()" },
};

const ForecastFact *forecast_facts(size_t *ret_n) {
        *ret_n = ELEMENTSOF(facts);
        return facts;
}
