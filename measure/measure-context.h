/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A request with its inputs hashed: from here on every row is arithmetic on what was read once. */

#include "measure-firmware.h"
#include "measure-input.h"
#include "measure-launch.h"
#include "measure-request.h"

typedef struct MeasureContext {
        const MeasureRequest *request; /* borrowed */
        FirmwareImage firmware, svsm;
        uint64_t svsm_gpa;
        PlanDigests digests;
        KernelHashes hashes; /* as the launch uses them, precomputed ones included */
        bool borrowed;       /* firmware belongs to a cache */
} MeasureContext;

typedef enum MeasureWork {
        MEASURE_FIRMWARE_SHA256 = 1 << 0, /* also where only people want to see it */
} MeasureWork;

void measure_context_done(MeasureContext *c);
_warn_unused_result_ int measure_context_load(
                const MeasureRequest *request, unsigned work, MeasureContext *ret, char **reterr);

/* One row's parameters. */
void measure_context_spec(const MeasureContext *c, unsigned vcpus, const MeasureCpu *cpu, LaunchSpec *ret);
/* One row's digest, step by step where trace is not NULL. */
_warn_unused_result_ int measure_context_digest(const MeasureContext *c, const LaunchSpec *spec,
                LaunchTrace trace, void *userdata, LaunchDigest *ret, char **reterr);

/* All rows, CPU by CPU with ascending vCPU counts: the chain of n vCPUs is the beginning of that of n + 1. */
typedef int (*MeasureRowFunction)(
                void *userdata, unsigned vcpus, const MeasureCpu *cpu, const LaunchDigest *digest);
_warn_unused_result_ int measure_context_rows(
                const MeasureContext *c, MeasureRowFunction row, void *userdata, char **reterr);
