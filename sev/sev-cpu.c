/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sev-cpu.h"

#include <errno.h>
#include <strings.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "error.h"
#include "strutil.h"

/* Source: QMP query-cpu-model-expansion of QEMU 10.0.2; names marked 11.1 from QEMU 11.1's target/i386/cpu.c, where a version
 * inherits family, model and stepping from its base. */
static const SevCpu cpus[] = {
        { "EPYC", 23, 1, 2 },
        { "EPYC-v1", 23, 1, 2 },
        { "EPYC-v2", 23, 1, 2 },
        { "EPYC-IBPB", 23, 1, 2 },
        { "EPYC-v3", 23, 1, 2 },
        { "EPYC-v4", 23, 1, 2 },
        { "EPYC-v5", 23, 1, 2 }, /* 11.1 */
        { "EPYC-Rome", 23, 49, 0 },
        { "EPYC-Rome-v1", 23, 49, 0 },
        { "EPYC-Rome-v2", 23, 49, 0 },
        { "EPYC-Rome-v3", 23, 49, 0 },
        { "EPYC-Rome-v4", 23, 49, 0 },
        { "EPYC-Rome-v5", 23, 49, 0 }, /* 11.1 */
        { "EPYC-Milan", 25, 1, 1 },
        { "EPYC-Milan-v1", 25, 1, 1 },
        { "EPYC-Milan-v2", 25, 1, 1 },
        { "EPYC-Milan-v3", 25, 1, 1 }, /* 11.1 */
        { "EPYC-Milan-v4", 25, 1, 1 }, /* 11.1 */
        { "EPYC-Genoa", 25, 17, 0 },
        { "EPYC-Genoa-v1", 25, 17, 0 },
        { "EPYC-Genoa-v2", 25, 17, 0 }, /* 11.1 */
        { "EPYC-Genoa-v3", 25, 17, 0 }, /* 11.1 */
        { "EPYC-Turin", 26, 0, 0 },     /* 11.1 */
        { "EPYC-Turin-v1", 26, 0, 0 },  /* 11.1 */
        { "EPYC-Turin-v2", 26, 0, 0 },  /* 11.1 */
        { "Dhyana", 24, 0, 1 },
        { "Dhyana-v1", 24, 0, 1 },
        { "Dhyana-v2", 24, 0, 1 },
        { "Opteron_G1", 15, 6, 1 },
        { "Opteron_G1-v1", 15, 6, 1 },
        { "Opteron_G2", 15, 6, 1 },
        { "Opteron_G2-v1", 15, 6, 1 },
        { "Opteron_G3", 16, 2, 3 },
        { "Opteron_G3-v1", 16, 2, 3 },
        { "Opteron_G4", 21, 1, 2 },
        { "Opteron_G4-v1", 21, 1, 2 },
        { "Opteron_G5", 21, 2, 0 },
        { "Opteron_G5-v1", 21, 2, 0 },
        { "phenom", 16, 2, 3 },
        { "phenom-v1", 16, 2, 3 },
        { "qemu64", 15, 107, 1 },
        { "qemu64-v1", 15, 107, 1 },
};

uint32_t sev_cpu_signature(unsigned family, unsigned model, unsigned stepping) {
        unsigned extended = family > 15 ? (family - 15) & 0xff : 0;

        return extended << 20 | (model >> 4 & 0xf) << 16 | MIN(family, 15u) << 8 | (model & 0xf) << 4 |
                        (stepping & 0xf);
}

void sev_cpu_from_signature(
                uint32_t signature, unsigned *ret_family, unsigned *ret_model, unsigned *ret_stepping) {
        unsigned family = signature >> 8 & 0xf;

        *ret_family = family == 15 ? 15 + (signature >> 20 & 0xff) : family;
        *ret_model = (signature >> 4 & 0xf) | (signature >> 16 & 0xf) << 4;
        *ret_stepping = signature & 0xf;
}

const SevCpu *sev_cpu_find(const char *name) {
        FOREACH_ARRAY(c, cpus, ELEMENTSOF(cpus))
                if (strcasecmp(c->name, name) == 0)
                        return c;
        return NULL;
}

const char *sev_cpu_name(uint32_t signature) {
        FOREACH_ARRAY(c, cpus, ELEMENTSOF(cpus))
                if (sev_cpu_signature(c->family, c->model, c->stepping) == signature)
                        return c->name;
        return NULL;
}

const SevCpu *sev_cpu_table(size_t *ret_n) {
        *ret_n = ELEMENTSOF(cpus);
        return cpus;
}

int sev_cpu_host(_unused_ uint32_t *ret) {
#if defined(__x86_64__) || defined(__i386__)
        unsigned eax, ebx, ecx, edx;

        if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) {
                *ret = eax & 0x0fff0fff; /* bits 31:28 and 15:12 are reserved */
                return 0;
        }
#endif
        return -EOPNOTSUPP;
}

int sev_cpu_resolve(const char *name, uint32_t *ret, char **reterr) {
        const SevCpu *c = sev_cpu_find(name);

        if (c) {
                *ret = sev_cpu_signature(c->family, c->model, c->stepping);
                return 0;
        }
        if (streq(name, "host") || streq(name, "max")) {
                if (sev_cpu_host(ret) < 0)
                        return error_set(reterr, -EINVAL,
                                        "CPU model '%s' means this machine's CPU, which is no x86: give the "
                                        "signature of the machine that will run the guest",
                                        name);
                return 0;
        }
        return error_set(reterr, -EINVAL,
                        "CPU model '%s' is not known: give one such as EPYC-v4, EPYC-Rome, EPYC-Milan, "
                        "EPYC-Genoa, EPYC-Turin or host, or its signature by --vcpu-sig",
                        name);
}
