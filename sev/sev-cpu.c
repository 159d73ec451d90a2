/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sev-cpu.h"

#include <errno.h>
#include <strings.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

#include "error.h"
#include "strutil.h"

#define ROW(name, family, model, stepping) { name, family, model, stepping },
static const SevCpu cpus[] = { SEV_CPUS(ROW) };

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
                                        "CPU model '%s' refers to this machine's CPU, which is not an x86 CPU: pass the signature of the machine that will run the guest",
                                        name);
                return 0;
        }
        return error_set(reterr, -EINVAL,
                        "unknown CPU model '%s': its signature is part of the digest; use a model such as %s, or --vcpu-sig",
                        name, values_text(SEV_CPU_EXAMPLES).text);
}
