/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* CPU models by name and by signature. The signature (CPUID leaf 1, EAX) is what QEMU leaves in RDX of a vCPU that was
 * reset, so it enters the digests of SEV-ES and SEV-SNP. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

/* All models: X(name as QEMU spells it, CPUID family, model, stepping). Source: QMP query-cpu-model-expansion of QEMU 10.0.2; names marked
 * 11.1 from QEMU 11.1's target/i386/cpu.c, where a version inherits family, model and stepping from its base. */
#define SEV_CPUS(X)                                                                                         \
        X("EPYC", 23, 1, 2)                                                                                 \
        X("EPYC-v1", 23, 1, 2)                                                                              \
        X("EPYC-v2", 23, 1, 2)                                                                              \
        X("EPYC-IBPB", 23, 1, 2)                                                                            \
        X("EPYC-v3", 23, 1, 2)                                                                              \
        X("EPYC-v4", 23, 1, 2)                                                                              \
        X("EPYC-v5", 23, 1, 2) /* 11.1 */                                                                   \
        X("EPYC-Rome", 23, 49, 0)                                                                           \
        X("EPYC-Rome-v1", 23, 49, 0)                                                                        \
        X("EPYC-Rome-v2", 23, 49, 0)                                                                        \
        X("EPYC-Rome-v3", 23, 49, 0)                                                                        \
        X("EPYC-Rome-v4", 23, 49, 0)                                                                        \
        X("EPYC-Rome-v5", 23, 49, 0) /* 11.1 */                                                             \
        X("EPYC-Milan", 25, 1, 1)                                                                           \
        X("EPYC-Milan-v1", 25, 1, 1)                                                                        \
        X("EPYC-Milan-v2", 25, 1, 1)                                                                        \
        X("EPYC-Milan-v3", 25, 1, 1) /* 11.1 */                                                             \
        X("EPYC-Milan-v4", 25, 1, 1) /* 11.1 */                                                             \
        X("EPYC-Genoa", 25, 17, 0)                                                                          \
        X("EPYC-Genoa-v1", 25, 17, 0)                                                                       \
        X("EPYC-Genoa-v2", 25, 17, 0) /* 11.1 */                                                            \
        X("EPYC-Genoa-v3", 25, 17, 0) /* 11.1 */                                                            \
        X("EPYC-Turin", 26, 0, 0)     /* 11.1 */                                                            \
        X("EPYC-Turin-v1", 26, 0, 0)  /* 11.1 */                                                            \
        X("EPYC-Turin-v2", 26, 0, 0)  /* 11.1 */                                                            \
        X("Dhyana", 24, 0, 1)                                                                               \
        X("Dhyana-v1", 24, 0, 1)                                                                            \
        X("Dhyana-v2", 24, 0, 1)                                                                            \
        X("Opteron_G1", 15, 6, 1)                                                                           \
        X("Opteron_G1-v1", 15, 6, 1)                                                                        \
        X("Opteron_G2", 15, 6, 1)                                                                           \
        X("Opteron_G2-v1", 15, 6, 1)                                                                        \
        X("Opteron_G3", 16, 2, 3)                                                                           \
        X("Opteron_G3-v1", 16, 2, 3)                                                                        \
        X("Opteron_G4", 21, 1, 2)                                                                           \
        X("Opteron_G4-v1", 21, 1, 2)                                                                        \
        X("Opteron_G5", 21, 2, 0)                                                                           \
        X("Opteron_G5-v1", 21, 2, 0)                                                                        \
        X("phenom", 16, 2, 3)                                                                               \
        X("phenom-v1", 16, 2, 3)                                                                            \
        X("qemu64", 15, 107, 1)                                                                             \
        X("qemu64-v1", 15, 107, 1)

#define SEV_CPU_NAME_VALUE(name, family, model, stepping) name " "
/* For completion. */
#define SEV_CPU_NAMES SEV_CPUS(SEV_CPU_NAME_VALUE)
/* For messages, with values_text(). */
#define SEV_CPU_EXAMPLES "EPYC-v4 EPYC-Rome EPYC-Milan EPYC-Genoa EPYC-Turin"

typedef struct SevCpu {
        const char *name; /* as QEMU spells it, without "-x86_64-cpu" */
        unsigned family, model, stepping;
} SevCpu;

/* CPUID leaf 1, EAX, as AMD composes it (APM volume 3, appendix E): families over 15 by the extended field. */
uint32_t sev_cpu_signature(unsigned family, unsigned model, unsigned stepping);
/* Takes a signature apart again. */
void sev_cpu_from_signature(
                uint32_t signature, unsigned *ret_family, unsigned *ret_model, unsigned *ret_stepping);

/* Finds a model by name, in any case: NULL if it is not known. "host" and "max" are no models: see sev_cpu_host(). */
const SevCpu *sev_cpu_find(const char *name);
/* The first (shortest) name of a signature, or NULL. */
const char *sev_cpu_name(uint32_t signature);
/* The table, in QEMU's order, for completion and tables. */
const SevCpu *sev_cpu_table(size_t *ret_n);

/* The signature of the CPU that this runs on: 0, or -EOPNOTSUPP where it is not an x86. */
_warn_unused_result_ int sev_cpu_host(uint32_t *ret);
/* A name, "host" or "max": 0, or -EINVAL with an error message. */
_warn_unused_result_ int sev_cpu_resolve(const char *name, uint32_t *ret, char **reterr);
