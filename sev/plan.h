/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The LaunchPlan: everything that enters a launch digest, as plain data. launcher/resolve fills it, launcher/compose turns it into
 * QEMU's arguments and measure/ into the digest; as JSON it crosses from the launcher to the measure program. One plan, so
 * that what is measured and what is launched cannot differ. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"

typedef enum SevMode {
        SEV_MODE_NONE, /* no confidential computing */
        SEV_MODE_SEV,
        SEV_MODE_SEV_ES,
        SEV_MODE_SEV_SNP,
        _SEV_MODE_MAX,
        _SEV_MODE_INVALID = -22,
} SevMode;

const char *sev_mode_to_string(SevMode m); /* "no", "sev", "sev-es", "sev-snp" */
SevMode sev_mode_from_string(const char *s);

/* A run of bytes of an input: `length` bytes at `offset` of the open file fd. fd -EBADF stands for zero bytes (padding). */
typedef struct PlanPart {
        char *label; /* owned: what it is, for people and tables: a file name, "credentials", "padding", "words" */
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

typedef struct LaunchPlan {
        SevMode mode;
        bool legacy_vm_type;     /* SEV, SEV-ES: KVM_SEV_INIT, KVM_SEV_ES_INIT instead of KVM_SEV_INIT2 */
        unsigned vcpus;          /* that are there at start */
        char *cpu_model;         /* owned; QEMU's name, e.g. "EPYC-v4" */
        uint32_t vcpu_sig;       /* CPUID 1 EAX that the model shows; 0: to be looked up from cpu_model */
        uint64_t guest_features; /* SEV_FEATURES of the VMSA (SNP) */
        uint64_t policy;
        bool kernel_hashes;
        PlanInput firmware;
        PlanInput kernel;
        PlanInput initrd;
        PlanInput words; /* the kernel command line without its trailing NUL */
} LaunchPlan;

void plan_input_done(PlanInput *in);
/* Appends a part; label is copied. */
_warn_unused_result_ int plan_input_add(
                PlanInput *in, const char *label, int fd, uint64_t offset, uint64_t length);
/* Sum of the parts' lengths; they were checked for overflow when added. */
uint64_t plan_input_size(const PlanInput *in);
void launch_plan_done(LaunchPlan *p);

/* {"mode","vcpus","cpu-model","vcpu-sig","guest-features","policy","kernel-hashes","legacy-vm-type","firmware":[{"label","fd","offset",
 * "length"}...],"kernel","initrd","words"}; absent inputs are left out, a padding part has fd null. */
_warn_unused_result_ int launch_plan_to_json(const LaunchPlan *p, Json **ret);
_warn_unused_result_ int launch_plan_from_json(const Json *j, LaunchPlan *ret, char **reterr);
