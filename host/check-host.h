/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Can this host launch a mode, and what is missing? check_probe() collects facts, check_judge() (pure) makes lines of them. */

#include "launch.h"

typedef enum Known { KNOWN_UNKNOWN = 0, KNOWN_NO, KNOWN_YES } Known;

typedef struct HostFacts {
        HostCaps caps;
        CocoVendor vendor; /* AMD's is also that of Hygon */
        bool tdx_platform; /* Linux has started with the TDX module (/proc/cpuinfo) */
        char *cpu_name;    /* owned */
        bool virtualizes;  /* SVM or VMX */
        char *kernel;      /* owned; release */
        unsigned kernel_major, kernel_minor;
        unsigned max_asids,
                        min_sev_asid; /* CPUID 0x8000001f ECX, EDX: ES and SNP use 1 to min_sev_asid - 1 */
        int kvm_errno;                /* of opening /dev/kvm: 0, or positive */
        bool kvm_types_known;
        unsigned kvm_types;                                      /* KVM_CAP_VM_TYPES: a bit for each type */
        Known module[_COCO_MODE_MAX], parameter[_COCO_MODE_MAX]; /* of KVM: kvm_amd */
        int sev_errno;                                           /* of opening /dev/sev: 0, or positive */
        bool platform_known;
        unsigned api_major, api_minor, build, platform_state;
        bool es_configured;
        bool snp_known; /* SNP_PLATFORM_STATUS was answered */
        unsigned snp_major, snp_minor, snp_build, snp_state;
        bool rmp_initialized;
        uint64_t current_tcb, reported_tcb;
        Known iommu;
        bool iommu_passthrough; /* iommu=pt or off on the kernel command line */
        bool asids_known;
        unsigned asids[_COCO_MODE_MAX], asids_used[_COCO_MODE_MAX]; /* misc cgroup */
        uint64_t memlock;   /* RLIMIT_MEMLOCK, UINT64_MAX: unlimited */
        bool ipc_lock;      /* may exceed it */
        char *qemu_version; /* owned; NULL: not known */
        unsigned qemu_major;
        Known qemu_object[_COCO_MODE_MAX];  /* QEMU has the object */
        char *firmware[_COCO_MODE_MAX];     /* owned; the image a mode would take, NULL: none */
        bool firmware_keys[_COCO_MODE_MAX]; /* ...which boots signed kernels only */
        char *fetched_remedy; /* owned; names the image that tools/fetch-artifacts fetched, NULL: none */
} HostFacts;

void host_facts_done(HostFacts *f);
_warn_unused_result_ int check_probe(const VmConfig *config, HostFacts *ret);

typedef enum CheckState { CHECK_OK, CHECK_MISSING, CHECK_UNKNOWN, CHECK_NOTE, _CHECK_STATE_MAX } CheckState;

typedef struct CheckLine {
        const char *subject; /* "CPU", "QEMU" ... */
        CheckState state;
        char *text;   /* owned */
        char *remedy; /* owned, or NULL */
} CheckLine;

typedef struct CheckList {
        CheckLine *lines; /* owned */
        size_t n_lines;
        int error; /* sticky */
} CheckList;

void check_list_done(CheckList *l);
const char *check_state_to_string(CheckState s); /* "ok", "missing", "unknown", "note" */

/* PURE. What `mode` needs of this host, in the order in which to mend it. */
_warn_unused_result_ int check_judge(const HostFacts *f, CocoMode mode, uint64_t ram, CheckList *ret);
/* 0 can launch, 3 cannot, 4 not knowable without more rights. */
int check_list_status(const CheckList *l);
