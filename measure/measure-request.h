/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is to be measured: from option texts to opened inputs and checked numbers. One request gives one digest for every pair of vCPU
 * count and CPU. */

#include <errno.h>
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
        _MEASURE_MODE_MAX,
        _MEASURE_MODE_INVALID = -22,
} MeasureMode;

const char *measure_mode_to_string(MeasureMode m); /* "sev", "seves", "snp", "snp:ovmf-hash", "snp:svsm" */
SevMode measure_mode_sev(MeasureMode m);

/* The options that say what is measured, as typed. Names follow sev-snp-measure. */
typedef struct MeasureArguments {
        char *mode, *vmm_type, *vmsa;
        char *vcpus, *vcpu_type, *vcpu_sig, *vcpu_family, *vcpu_model, *vcpu_stepping;
        char *guest_features, *es_features;
        char *ovmf, *ovmf_hash, *ovmf_metadata;
        char *kernel, *initrd, *append;
        char *kernel_hash, *initrd_hash, *cmdline_hash;
        char *svsm, *vars_size, *vars_file;
} MeasureArguments;

void measure_arguments_done(MeasureArguments *a);

typedef struct MeasureCpu {
        char *name; /* owned; as typed, or the name of the signature, or NULL */
        uint32_t signature;
} MeasureCpu;

/* Files that many requests share: each is opened once, and bytes from memory go to one memory file. */
typedef struct RequestFiles {
        struct RequestFile {
                char *path; /* owned */
                int fd;     /* owned */
                uint64_t size;
        } * items; /* owned */
        size_t n_items;
        int scratch;          /* owned */
        uint64_t scratch_end; /* set to 0 when the requests that use it are gone */
} RequestFiles;

#define REQUEST_FILES_NONE ((RequestFiles) { .scratch = -EBADF })
void request_files_done(RequestFiles *f);

typedef struct MeasureRequest {
        MeasureMode mode;
        VmsaFlavour flavour;
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
        RequestFiles *files; /* weak; where descriptors are shared instead, or NULL */
} MeasureRequest;

void measure_request_done(MeasureRequest *r);

/* -EINVAL and others with a sentence. Opens files, or takes them from `files`, which may be NULL. */
_warn_unused_result_ int measure_request_new(
                const MeasureArguments *a, RequestFiles *files, MeasureRequest *ret, char **reterr);

/* A launcher's plan, which is taken; its descriptors stay its owner's. The texts are options and may be NULL. */
_warn_unused_result_ int measure_request_from_plan(LaunchPlan *plan, const char *vmsa,
                const char *es_features, MeasureRequest *ret, char **reterr);

/* Opens a regular file as an input of one part; the request owns the descriptor. `option` is for the sentence. */
_warn_unused_result_ int measure_request_open(
                MeasureRequest *r, const char *option, const char *path, PlanInput *in, char **reterr);
/* Zero bytes that align what follows as a launcher does it: on 4 bytes, and behind lz4's legacy format with at least 4. */
_warn_unused_result_ int measure_request_pad(PlanInput *in);
/* Bytes from memory as a part. */
_warn_unused_result_ int measure_request_bytes(
                MeasureRequest *r, const char *label, const void *p, size_t n, PlanInput *in);
