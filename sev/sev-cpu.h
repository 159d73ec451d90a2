/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* CPU models by name and by signature. The signature (CPUID leaf 1, EAX) is what QEMU leaves in RDX of a vCPU that was
 * reset, so it enters the digests of SEV-ES and SEV-SNP. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

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
/* A name, "host" or "max": 0, or -EINVAL with a sentence. */
_warn_unused_result_ int sev_cpu_resolve(const char *name, uint32_t *ret, char **reterr);
