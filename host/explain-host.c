/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The host's kernel: secure processor, RMP, IOMMU, KVM. */

#include "explain-rules.h"
#include "sev-firmware.h"

#define CCP   "linux drivers/crypto/ccp/sev-dev.c"
#define KVM   "linux arch/x86/kvm/svm/sev.c"
#define RMP   "linux arch/x86/virt/svm/sev.c"
#define IOMMU "linux drivers/iommu/amd/init.c"

#define SNP_BIOS                                                                                            \
        "in the BIOS enable SMEE, SNP memory (RMP) coverage and the IOMMU, and give SEV-ES an ASID space "  \
        "limit above 1"

const ExplainRule explain_host[] = {
        /* RMP */
        { "Memory for the RMP table has not been reserved by BIOS", NULL, EXPLAIN_CAUSE, RMP,
                        "the BIOS reserves no memory for the RMP: enable SNP memory (RMP) coverage in the BIOS, then power-cycle" },
        { "RMP configuration not valid", NULL, EXPLAIN_CAUSE, RMP,
                        "the BIOS describes an impossible RMP: enable SNP memory (RMP) coverage again, or update the BIOS" },
        { "does not cover full system RAM", NULL, EXPLAIN_CAUSE, RMP,
                        "the BIOS reserves too little memory for the RMP: set SNP memory (RMP) coverage to all memory" },
        { "Failed to map RMP table", NULL, EXPLAIN_CAUSE, RMP,
                        "the kernel could not map the RMP, so SNP is off: check the BIOS's memory map in the kernel log, or update the BIOS" },
        { "Hardware SNP support disabled or RMP not initialised", NULL, EXPLAIN_CAUSE, "amdese-linux kernel",
                        "SNP is not enabled on this host: " SNP_BIOS },
        { "RMPUPDATE failed", NULL, EXPLAIN_CAUSE, RMP,
                        "the kernel could not change the owner of a page of memory: update kernel and BIOS; "
                        "the page is lost until the host is restarted" },
        { "Leaking PFN range", NULL, EXPLAIN_GENERAL, RMP,
                        "memory could not be taken back from the secure processor and is lost until the host is restarted" },
        /* IOMMU */
        { "SNP: IOMMU", "disabled or configured in passthrough mode", EXPLAIN_CAUSE, IOMMU,
                        "SNP needs the IOMMU: enable it in the BIOS, and remove iommu=pt, "
                        "iommu.passthrough=1 and amd_iommu=off from the host's kernel command line" },
        { "SNP: IOMMU is configured with V2 page table mode", NULL, EXPLAIN_CAUSE, IOMMU,
                        "SNP needs version 1 page tables of the IOMMU: remove amd_iommu=pgtbl_v2 from the host's kernel command line" },
        { "SNP: IOMMU SNP feature", "not enabled", EXPLAIN_CAUSE, IOMMU,
                        "the IOMMU does not support SNP, or it is disabled in the BIOS: enable IOMMU and SNP in the BIOS, or update it" },
        { "SNP: RMP initialization failed", NULL, EXPLAIN_GENERAL, IOMMU,
                        "the RMP could not be set up: an earlier line of SEV-SNP says why" },
        { "RMP_PAGE_FAULT", NULL, EXPLAIN_CAUSE, "linux drivers/iommu/amd/iommu.c",
                        "a device accessed memory that belongs to a confidential guest or to the firmware: "
                        "remove passed-through devices from the guest, or update their drivers" },
        { "RMP_HW_ERROR", NULL, EXPLAIN_CAUSE, "linux drivers/iommu/amd/iommu.c",
                        "the IOMMU reports an error while it read the RMP: power-cycle the host, update its BIOS" },
        { "SNP cannot be supported", NULL, EXPLAIN_GENERAL, IOMMU, "SNP is off on this host: " SNP_BIOS },
        /* secure processor */
        { "SEV-SNP: failed to INIT", "error 0x3", EXPLAIN_CAUSE, CCP,
                        "the secure processor reports an invalid platform configuration (INVALID_CONFIG): " SNP_BIOS
                        "; the same values on all sockets" },
        { "SEV-SNP: failed to INIT", NULL, EXPLAIN_CAUSE, CCP,
                        "the secure processor could not start SNP: " SNP_BIOS
                        ", update its firmware (package amd64-microcode or linux-firmware), power-cycle" },
        { "SEV-SNP: SNP_INIT", "error 0x3", EXPLAIN_CAUSE, CCP,
                        "the secure processor reports an invalid platform configuration (INVALID_CONFIG): " SNP_BIOS
                        "; the same values on all sockets" },
        { "SEV-SNP: SNP_INIT", "failed rc", EXPLAIN_CAUSE, CCP,
                        "the secure processor could not start SNP: " SNP_BIOS
                        ", update its firmware (package amd64-microcode or linux-firmware), power-cycle" },
        { "SEV: INIT", "failed 0x1,", EXPLAIN_CAUSE, CCP,
                        "the secure processor is initialised already (INVALID_PLATFORM_STATE), perhaps by a kernel before kexec: power-cycle the host" },
        { "SEV: INIT", "failed 0x", EXPLAIN_CAUSE, CCP,
                        "the secure processor could not start SEV: update BIOS and SEV firmware (package amd64-microcode or linux-firmware), then power-cycle" },
        { "DF_FLUSH failed", NULL, EXPLAIN_CAUSE, CCP,
                        "the secure processor could not flush the data fabric: end all confidential guests, then load kvm_amd and ccp again or power-cycle" },
        { "Failed to update SEV firmware", NULL, EXPLAIN_CAUSE, CCP,
                        "the newer SEV firmware was not accepted, the BIOS's stays in use: the number is the secure processor's status; update the BIOS first" },
        { "SEV: failed to INIT", "error 0x1,", EXPLAIN_CAUSE, CCP,
                        "the secure processor is initialised already (INVALID_PLATFORM_STATE), perhaps by a kernel before kexec: power-cycle the host" },
        { "SEV: failed to INIT", NULL, EXPLAIN_CAUSE, CCP,
                        "the secure processor could not start SEV: update BIOS and SEV firmware (package amd64-microcode or linux-firmware), then power-cycle" },
        { "failed to get status. Error:", NULL, EXPLAIN_CAUSE, CCP,
                        "the secure processor does not answer: power-cycle the host, update its BIOS" },
        { "sev command", "timed out, disabling PSP", EXPLAIN_CAUSE, CCP,
                        "the secure processor no longer answers, and no guest can be started until a power-cycle: update BIOS and SEV firmware" },
        { "SEV-SNP support requires firmware version", NULL, EXPLAIN_CAUSE, CCP,
                        "the secure processor's firmware is older than 1.51: update BIOS or SEV firmware (package amd64-microcode or linux-firmware)" },
        { "TMR allocation failed", NULL, EXPLAIN_CAUSE, CCP,
                        "the kernel had no contiguous memory for SEV-ES: load ccp earlier, at boot" },
        { "memory encryption not enabled by BIOS", NULL, EXPLAIN_CAUSE, "linux arch/x86/kernel/cpu/amd.c",
                        "memory encryption is off: enable SMEE in the BIOS" },
        { "Direct firmware load for amd/amd_sev", "failed with error -2", EXPLAIN_GENERAL,
                        "linux drivers/base/firmware_loader/main.c",
                        "no newer SEV firmware is in /lib/firmware/amd: harmless, the BIOS's firmware is used; "
                        "install amd64-microcode or linux-firmware if it is too old" },
        { "unable to access the device: you might be running a broken BIOS", NULL, EXPLAIN_CAUSE,
                        "linux drivers/crypto/ccp/psp-dev.c",
                        "the kernel cannot reach the secure processor: enable it in the BIOS (PSP, SEV control), or update the BIOS; client parts have no SEV" },
        /* KVM */
        { "kvm_amd: SEV-SNP ", "usable (ASIDs", EXPLAIN_CAUSE, KVM,
                        "SNP works, but has no ASID: set the BIOS's SEV-ES ASID space limit (minimum SEV ASID) above 1" },
        { "kvm_amd: SEV-SNP disabled", NULL, EXPLAIN_CAUSE, KVM,
                        "SNP is disabled in KVM: load kvm_amd with sev_snp=1, and check earlier lines of ccp, "
                        "SEV-SNP and AMD-Vi" },
        { "kvm_amd: SEV-ES ", "usable (ASIDs", EXPLAIN_CAUSE, KVM,
                        "SEV-ES works, but has no ASID: set the BIOS's SEV-ES ASID space limit above 1" },
        { "kvm_amd: SEV-ES disabled", NULL, EXPLAIN_CAUSE, KVM,
                        "SEV-ES is disabled in KVM: set the BIOS's SEV-ES ASID space limit above 1, and load kvm_amd with sev_es=1" },
        { "kvm_amd: SEV ", "usable (ASIDs", EXPLAIN_CAUSE, KVM,
                        "SEV works, but all ASIDs are reserved for SEV-ES and SNP: lower the BIOS's SEV-ES ASID space limit" },
        { "kvm_amd: SEV disabled", NULL, EXPLAIN_CAUSE, KVM,
                        "SEV is disabled in KVM: enable SMEE in the BIOS, and load kvm_amd with sev=1" },
        { "SVM not supported by CPU", NULL, EXPLAIN_CAUSE, "linux arch/x86/kvm/svm/svm.c",
                        "the processor has no SVM: this is not an AMD host, or inside a VM its host does not expose it" },
        { "KVM is unsupported when running as an SEV guest", NULL, EXPLAIN_CAUSE,
                        "linux arch/x86/kvm/svm/svm.c",
                        "this machine is a confidential guest itself: it cannot run guests with KVM; use --kvm=no, or an ordinary host" },
        { "AVIC disabled: missing HvInUseWrAllowed", NULL, EXPLAIN_MISLEADING,
                        "linux arch/x86/kvm/svm/svm.c", NULL },
        { "SVM disabled (by BIOS)", NULL, EXPLAIN_CAUSE, "linux arch/x86/kernel/cpu/amd.c",
                        "virtualisation is off: enable SVM in the BIOS" },
        { "exceed the lock limit", NULL, EXPLAIN_CAUSE, KVM,
                        "SEV locks all guest memory: raise the memory lock limit (ulimit -l, LimitMEMLOCK=) above --ram= plus 256 MiB" },
        { "SEV: Failure locking", NULL, EXPLAIN_CAUSE, KVM,
                        "SEV locks all guest memory, and the kernel could not: there is not enough free memory for --ram=" },
        { "Failed to create SEV-SNP context", NULL, EXPLAIN_CAUSE, KVM,
                        "the secure processor refused one more SNP guest: the number after fw_error is its status; end other confidential guests" },
        { "SEV-ES guest requested termination: reason", NULL, EXPLAIN_CAUSE, KVM,
                        "the guest ended itself: its console says why, if it got that far" },
        { "vmgexit: GHCB GPA [", "is not registered", EXPLAIN_CAUSE, KVM,
                        "an SNP guest used a GHCB page that it had not registered: its firmware or kernel is not built for SNP, or a vCPU was reset; " GET_FIRMWARE },
        { "vmgexit: exit code", "not valid", EXPLAIN_CAUSE, KVM,
                        "the guest sent a request that this kernel's KVM does not support: guest kernel and host kernel are incompatible; update the host" },
        { "vmgexit: unsupported event", NULL, EXPLAIN_CAUSE, KVM,
                        "the guest sent a request that this kernel's KVM does not support: update the host's kernel" },
        { "vmgexit: ", NULL, EXPLAIN_GENERAL, KVM,
                        "guest and KVM are incompatible (GHCB protocol): update guest firmware, guest kernel and host kernel" },
        { "SEV: Unexpected RMP fault", NULL, EXPLAIN_GENERAL, KVM,
                        "a page of the guest was in the wrong state: update the host's kernel" },
};
const size_t explain_host_n = ELEMENTSOF(explain_host);
