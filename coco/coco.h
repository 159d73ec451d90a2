/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The technologies of confidential computing that a launch can ask for: one row each. Whatever differs between them and is a fact
 * (a name, a number, a need) is a column here; code asks the row and not the mode. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum CocoMode {
        COCO_NONE, /* no confidential computing */
        COCO_SEV,
        COCO_SEV_ES,
        COCO_SEV_SNP,
        COCO_TDX,
        _COCO_MODE_MAX,
        _COCO_MODE_INVALID = -22,
} CocoMode;

/* The keywords, for completion; a unit test compares them with the tables. */
#define COCO_SEV_POLICY_NAMES "debug nodbg keysharing noks es nosend domain sev"
#define COCO_SNP_POLICY_NAMES                                                                               \
        "smt nosmt migrate-ma debug single-socket cxl-allow mem-aes-256-xts rapl-dis ciphertext-hiding "    \
        "page-swap-disable"
#define COCO_TDX_POLICY_WORDS "sept-ve-disable no-sept-ve-disable pks perfmon"
#define COCO_TDX_POLICY_NAMES "debug " COCO_TDX_POLICY_WORDS
/* Attributes of a TD in libvirt's domains: debug and sept-ve-disable. libvirt 12.8 refuses a domain with others. */
#define COCO_TDX_LIBVIRT_BITS UINT64_C(0x10000001)
#define COCO_POLICY_NAMES     COCO_SEV_POLICY_NAMES " " COCO_SNP_POLICY_NAMES " " COCO_TDX_POLICY_WORDS

/* A word of --coco-policy= and the bit that it sets or clears. */
typedef struct CocoPolicyWord {
        const char *word; /* NULL ends the table */
        uint64_t bit;
        bool clears;
} CocoPolicyWord;

typedef struct CocoPolicy {
        uint64_t initial;    /* without --coco-policy=; TDX calls it ATTRIBUTES */
        uint64_t max;        /* all bits that a policy has room for */
        uint64_t set, clear; /* bits that any policy of this technology has set, or clear */
        const char *wrong; /* what to say when they are not: goes after "0x3 is not a valid SEV-ES policy: " */
        uint64_t debug;    /* the bit that decides whether the host may debug the guest... */
        bool debug_if_clear; /* ...when it is clear instead of set */
        bool kvm_limits;     /* KVM may take fewer bits, and says which */
        uint64_t unlaunched; /* what other monitors can ask for, and QEMU or Linux refuses */
        const CocoPolicyWord *words;
} CocoPolicy;

/* What of the host a launch needs. */
typedef enum CocoVendor {
        COCO_VENDOR_NONE,
        COCO_VENDOR_AMD,
        COCO_VENDOR_INTEL,
} CocoVendor;

/* What only AMD's processors have. */
typedef struct CocoHostAmd {
        unsigned cpuid_bit; /* of CPUID 0x8000001f EAX (AMD 24594, APM volume 3) */
        bool es_asids;      /* its ASIDs come from below the minimum for plain SEV, which the BIOS sets */
        bool es_setup;      /* the firmware must have been initialised for SEV-ES */
        bool rmp;           /* the reverse map table must be initialised, and the IOMMU be on */
} CocoHostAmd;

typedef struct CocoHost {
        CocoVendor vendor; /* whose processors have it */
        union {
                CocoHostAmd amd;
        };
        unsigned kvm_vm_type;      /* linux/kvm.h: KVM_X86_*_VM */
        unsigned linux_minor;      /* the first Linux 6 that launches it */
        const char *kvm_module;    /* "kvm_amd" */
        const char *kvm_parameter; /* of that module */
        const char *key_pool;      /* resource of the misc cgroup: a guest takes one of its memory keys */
        bool pins_memory;          /* all of the guest's memory is locked */
        const char *key_noun;      /* what those are called */
        const char *no_virtualization; /* what to say of a CPU that runs no guests */
        /* what to do where it is missing */
        const char *cpu_remedy, *module_remedy, *kernel_remedy, *kvm_remedy, *device_remedy,
                        *virtualization_remedy, *qemu_remedy, *firmware_remedy;
} CocoHost;

typedef struct Coco {
        const char *name;             /* "sev-es": options, JSON members */
        const char *label;            /* "SEV-ES": messages */
        const char *scheme;           /* "amd-sev-es": attestation services; NULL: none */
        const char *firmware_feature; /* in firmware descriptors (QEMU docs/interop/firmware.json) */
        const char *qemu_object;      /* QEMU's qapi/qom.json */
        const char *qemu_id;          /* what the object is called in our command lines */
        const char *cpu_model;        /* without --cpu= */
        unsigned firmware_needs;      /* OvmfNeed: what OVMF must have... */
        unsigned kernel_needs;        /* ...and more of it where a kernel is booted directly */
        bool kernel_required; /* a launch without direct kernel boot is refused: its digest would cover the firmware only */
        bool vcpus_measured; /* the registers of each vCPU, the model's signature among them, enter the digest */
        bool encrypted_registers; /* the host cannot read the vCPUs, and the guest has no SMM */
        bool guest_memfd; /* private pages lie in memory of KVM's (guest_memfd), firmware among them */
        bool launch_session; /* the guest owner makes keys for each launch, and gives secrets before the guest runs */
        bool guest_report;   /* the running guest asks for a report, and gets its secrets then */
        bool id_block;       /* takes an ID block, host data and a choice of the key that signs reports */
        bool guest_features; /* SEV_FEATURES are chosen at launch */
        bool event_log;      /* firmware and kernel extend further registers, and log what: rtmr0 to rtmr3 */
        bool strings_unseen; /* with a kernel that is booted directly, its registers do not cover all that a host can hand to PID 1 */
        bool cpu_of_host; /* QEMU takes no CPU model but the host's */
        bool emulated;    /* --simulate needs QEMU's own emulation of the CPU, with one vCPU */
        bool owner_values; /* takes values of the guest owner's for its reports: mrconfigid, mrowner, mrownerconfig */
        const char *digest_algorithm; /* of the launch digest: "sha256", "sha384" */
        size_t digest_size;           /* bytes */
        CocoPolicy policy;
        CocoHost host;
} Coco;

/* The row of a mode. COCO_NONE has one, too, where only name and label are set; it also stands for what is not a mode. */
const Coco *coco_of(CocoMode m);

/* All of them, the strongest first. */
#define COCO_STRENGTHS ((size_t) _COCO_MODE_MAX - 1)
extern const CocoMode coco_by_strength[COCO_STRENGTHS];

const char *coco_mode_to_string(CocoMode m); /* "no", "sev", "sev-es", "sev-snp" */
CocoMode coco_mode_from_string(const char *s);
CocoMode coco_mode_from_scheme(const char *s); /* "amd-sev" ...; _COCO_MODE_INVALID: unknown */

/* The technology that an object of QEMU's launches with a policy: SEV and SEV-ES share one. COCO_NONE: no such object. */
CocoMode coco_mode_from_object(const char *qemu_object, uint64_t policy);

/* Has it the bits that any policy of this technology has? */
bool coco_policy_fits(const Coco *c, uint64_t policy);
/* May the host debug a guest with this policy, and so read its memory? */
bool coco_policy_allows_debug(const Coco *c, uint64_t policy);
