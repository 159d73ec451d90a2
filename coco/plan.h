/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The LaunchPlan: everything that enters a launch digest, as plain data. launcher/resolve fills it, launcher/compose turns it into
 * QEMU's arguments and measure/ into the digest; as JSON it crosses from the launcher to the measure program. One plan, so
 * that what is measured and what is launched cannot differ. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coco.h"
#include "json.h"

/* A run of bytes of an input: `length` bytes at `offset` of the open file fd. fd -EBADF stands for zero bytes (padding). */
typedef struct PlanPart {
        char *label; /* owned: what it is, for people and tables: a file name, "credentials", "padding", "cmdline" */
        int fd; /* weak: the PlanInput's owner keeps it open */
        uint64_t offset;
        uint64_t length;
} PlanPart;

/* One input (firmware, kernel, initrd, words): its bytes are the parts one after another. present: given at all; an input
 * can be present and empty. */
typedef struct PlanInput {
        bool present;
        PlanPart *parts; /* owned */
        size_t n_parts;
} PlanInput;

/* SEV, SEV-ES, SEV-SNP; and a launch without any, whose hashes are checked on a simulated host. */
typedef struct SevPlan {
        bool legacy_vm_type;    /* SEV, SEV-ES: KVM_SEV_INIT, KVM_SEV_ES_INIT instead of KVM_SEV_INIT2 */
        uint32_t cpu_signature; /* CPUID 1 EAX that the model shows; 0: to be looked up from cpu_model */
        uint64_t features;      /* SEV_FEATURES of the VMSA (SNP) */
        bool kernel_hashes;     /* QEMU gives the firmware a table of hashes of kernel, initrd and words */
} SevPlan;

typedef struct TdxPlan {
        uint64_t memory; /* bytes: the list of it enters RTMR0 */
        char *edk2; /* owned: release and build of the firmware, "202608-inteltdx"; NULL: only MRTD is predicted */
        char *fw_cfg; /* owned: folder with QEMU's tables, for RTMR0; or NULL */
        char *bios;   /* owned: "VENDOR,VERSION,DATE" of the firmware, or NULL */
        bool two_pass; /* KVM adds all pages of a section, and extends them afterwards: out-of-tree kernels of 2022 to 2024 */
} TdxPlan;

typedef struct LaunchPlan {
        CocoMode mode;
        unsigned vcpus;  /* that are there at start */
        char *cpu_model; /* owned; QEMU's name, e.g. "EPYC-v4" */
        uint64_t policy; /* of the guest: which bits it has is the technology's (coco.h) */
        /* What enters the digest with one vendor's technologies only; zeros with the others'. */
        SevPlan sev;
        TdxPlan tdx;
        PlanInput firmware;
        PlanInput kernel;
        PlanInput initrd;
        PlanInput cmdline; /* the kernel command line without its trailing NUL */
} LaunchPlan;

void plan_input_done(PlanInput *in);
/* Appends a part; label is copied. */
_warn_unused_result_ int plan_input_add(
                PlanInput *in, const char *label, int fd, uint64_t offset, uint64_t length);
/* Sum of the parts' lengths; they were checked for overflow when added. */
uint64_t plan_input_size(const PlanInput *in);
void launch_plan_done(LaunchPlan *p);

/* {"mode","vcpus","cpu-model","vcpu-sig","guest-features","policy","kernel-hashes","legacy-vm-type","firmware":[{"label","fd","offset",
 * "length"}...],"kernel","initrd","cmdline"}; absent inputs are left out, a padding part has fd null. */
_warn_unused_result_ int launch_plan_to_json(const LaunchPlan *p, Json **ret);
_warn_unused_result_ int launch_plan_from_json(const Json *j, LaunchPlan *ret, char **reterr);
