/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Virtual machine monitors as the launch digest sees them: which registers they start a vCPU with, which page types they give to the
 * sections of the firmware, and in which order. One row a profile; code asks the row and never compares profiles.
 *
 * Sources: the VMSA that each monitor builds as virtee/sev-snp-measure (vmsa.py), virtee/sev (measurement/vmsa.rs) and
 * google/gce-tcb-verifier compute it; KVM's since Linux 6.10 from arch/x86/kvm/svm/sev.c, sev_es_sync_vmsa(). */

#include <stdbool.h>
#include <stdint.h>

#include "sev-abi.h"

/* X(enumerator, name of the profile, what sev-snp-measure calls the monitor or "": reached by --vmsa= only) */
#define VMM_PROFILES(X)                                                                                     \
        X(VMM_QEMU, "qemu", "QEMU")               /* KVM_SEV_INIT2 since Linux 6.10 */                      \
        X(VMM_QEMU_PRE_6_10, "qemu-pre-6.10", "") /* earlier, and KVM_SEV_ES_INIT still */                  \
        X(VMM_EC2, "ec2", "ec2")                  /* Amazon, RDX 0x600 */                                   \
        X(VMM_EC2_2023, "ec2-2023", "")           /* Amazon until 2025, RDX 0 */                            \
        X(VMM_GCE, "gce", "gce")                  /* Google */                                              \
        X(VMM_KRUN, "krun", "krun")               /* as the sev crate computes it for libkrun */            \
        X(VMM_SVSM, "svsm", "")                   /* COCONUT-SVSM behind QEMU before IGVM */                \
        X(VMM_SVSM_PRE_6_10, "svsm-pre-6.10", "")

#define VMM_PROFILE_ENUMERATOR(id, name, type) id,
typedef enum VmmProfile {
        VMM_PROFILES(VMM_PROFILE_ENUMERATOR) _VMM_PROFILE_MAX,
        _VMM_PROFILE_INVALID = -22,
} VmmProfile;

/* All names, and all names of monitors, separated by blanks: for completion and messages. */
#define VMM_PROFILE_NAME(id, name, type) name " "
#define VMM_PROFILE_NAMES                VMM_PROFILES(VMM_PROFILE_NAME)
#define VMM_PROFILE_TYPE(id, name, type) type " "
#define VMM_TYPE_NAMES                   VMM_PROFILES(VMM_PROFILE_TYPE)

typedef struct VmsaSegment {
        uint16_t selector, attributes;
        uint32_t limit;
} VmsaSegment;

/* The registers that differ between monitors at the start of a vCPU; the others are the same for all. */
typedef struct VmmRegisters {
        VmsaSegment cs_boot, cs_application, ss, data; /* data: ES, DS and FS; GS has its reset value */
        uint16_t tr_attributes;
        uint64_t cr0, g_pat;
        bool rdx_is_signature; /* QEMU resets RDX to the CPU signature; else it is `rdx` */
        uint64_t rdx;
        bool flat; /* 32 bit protected mode: CS base 0, RIP the whole entry point, SEV_FEATURES 1 */
        uint32_t mxcsr;
        uint16_t fcw;
} VmmRegisters;

typedef struct VmmRow {
        bool svsm;           /* all vCPUs start in an SVSM: mode snp:svsm only */
        SnpPageType sec_mem; /* how SNP_SEC_MEM sections are given to the firmware */
        bool cpuid_last;     /* the CPUID page comes after all other sections */
        VmmRegisters registers;
} VmmRow;

const VmmRow *vmm_row(VmmProfile p);
const char *vmm_profile_to_string(VmmProfile p);
VmmProfile vmm_profile_from_string(const char *s);
/* By what sev-snp-measure or snpguest call the monitor: "QEMU" or "qemu", "ec2" ... */
VmmProfile vmm_profile_from_type(const char *s);
/* Are the sections of the firmware measured as under QEMU? Then the beginnings of digests can be shared. */
bool vmm_sections_are_common(const VmmRow *v);
