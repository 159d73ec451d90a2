/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is to be measured: opened inputs and checked numbers. One request gives one digest for every pair of vCPU count and CPU. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-hash.h"
#include "measure-hashes.h"
#include "plan.h"
#include "sev-vmsa.h"

/* A request with more rows than this is a mistake. */
#define MEASURE_ROWS_MAX 1000000u

typedef enum MeasureMode {
        MEASURE_SEV,
        MEASURE_SEV_ES,
        MEASURE_SNP,
        MEASURE_OVMF_HASH, /* the SNP chain over the firmware only */
        MEASURE_SVSM,      /* COCONUT-SVSM before IGVM */
        MEASURE_TDX,
        _MEASURE_MODE_MAX,
        _MEASURE_MODE_INVALID = -22,
} MeasureMode;

const char *measure_mode_to_string(
                MeasureMode m); /* "sev", "seves", "snp", "snp:ovmf-hash", "snp:svsm", "tdx" */
MeasureMode measure_mode_from_string(const char *s); /* the launcher's "sev-es" and "sev-snp", too */
/* The launch of a technology as it is; _MEASURE_MODE_INVALID: it has no digest. */
MeasureMode measure_mode_of_coco(CocoMode m);
CocoMode measure_mode_coco(MeasureMode m);
/* Do the vCPUs enter this digest? */
bool measure_mode_has_vcpus(MeasureMode m);

typedef struct MeasureCpu {
        char *name; /* owned; as typed, or the name of the signature, or NULL */
        uint32_t signature;
} MeasureCpu;

/* A CPU by QEMU's name for it. "host" and "max" are refused: they are the CPU of the machine that runs the guest. */
_warn_unused_result_ int measure_cpu_from_name(const char *name, MeasureCpu *ret, char **reterr);
void measure_cpus_free(MeasureCpu *cpus, size_t n);

struct RequestFiles;

typedef struct MeasureRequest {
        MeasureMode mode;
        VmmProfile profile;
        unsigned *vcpus; /* owned, ascending, at least one */
        size_t n_vcpus;
        MeasureCpu *cpus; /* owned, at least one; in modes without signature one with name NULL */
        size_t n_cpus;
        uint64_t features, es_features;
        LaunchPlan plan; /* inputs only; its descriptors are in `fds` */
        bool has_kernel_hash, has_initrd_hash, has_cmdline_hash;
        KernelHashes given; /* replace what would be computed */
        bool has_ovmf_hash;
        uint8_t ovmf_hash[SHA384_SIZE];
        char *ovmf_metadata; /* owned; file name, or NULL */
        PlanInput svsm;
        uint64_t vars_size;
        int *fds; /* owned, with the descriptors */
        size_t n_fds;
        bool family;                /* the answer says what extrapolates to other vCPUs: measure-family.h */
        struct RequestFiles *files; /* weak; where descriptors are shared instead, or NULL */
} MeasureRequest;

void measure_request_done(MeasureRequest *r);

/* A launcher's plan, which is taken; its descriptors stay its owner's. `profile` may be _VMM_PROFILE_INVALID: the one of QEMU, as the
 * plan's VM type needs it. */
_warn_unused_result_ int measure_request_from_plan(LaunchPlan *plan, VmmProfile profile,
                uint64_t es_features, MeasureRequest *ret, char **reterr);
