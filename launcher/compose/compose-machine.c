/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Machine, CPU, memory, and the SEV object. What enters the launch digest of a confidential guest: firmware, kernel hashes, the
 * number of vCPUs and the CPU model's signature; everything else here does not. */

#include <inttypes.h>

#include "compose-parts.h"

#define MIB (UINT64_C(1) << 20)

static uint64_t ram_mib(const Composer *c) {
        return (c->config->ram + MIB - 1) / MIB;
}

/* -machine and -smp take key=value text; nothing in it comes from the user, so nothing needs escaping. */
void compose_machine(Composer *c) {
        const char *smm = c->inputs->firmware_kind == FIRMWARE_KIND_PFLASH ? "" : ",smm=off";

        compose_addf(c, "-name", "%s", c->config->machine ?: "cvm");
        if (c->config->uuid)
                compose_add(c, "-uuid", c->config->uuid, NULL);

        compose_addf(c, "-machine", "q35,accel=%s,hpet=off,vmport=off,usb=off%s%s%s,memory-backend=ram0%s%s",
                        c->choices->kvm ? "kvm" : "tcg", smm, c->confidential ? ",kernel-irqchip=split" : "",
                        c->confidential ? ",confidential-guest-support=sev0" : "",
                        c->inputs->firmware_kind == FIRMWARE_KIND_PFLASH ? ",pflash0=pflash0-file" : "",
                        c->inputs->firmware_kind == FIRMWARE_KIND_PFLASH ? ",pflash1=pflash1-file" : "");
        /* A confidential guest has a named model, whose signature is in every VMSA; otherwise the best there is. */
        compose_add(c, "-cpu", c->confidential ? c->config->cpu_model : "max", NULL);
        /* maxcpus is said, so that no later default adds vCPUs. */
        compose_addf(c, "-smp", "cpus=%u,maxcpus=%u", c->config->cpus, c->config->cpus);
        compose_addf(c, "-m", "size=%" PRIu64 "M", ram_mib(c));
        compose_build(c, "-object", "{s:s, s:s, s:I, s:b}", "qom-type", "memory-backend-memfd", "id", "ram0",
                        "size", (long long) (ram_mib(c) * MIB), "share", false);
}

/* The properties of sev-guest and sev-snp-guest: QEMU docs/system/i386/amd-memory-encryption.rst. */
void compose_confidential(Composer *c) {
        const LaunchPlan *plan = &c->inputs->plan;

        if (!c->confidential)
                return;
        if (plan->mode == SEV_MODE_SEV_SNP)
                compose_build(c, "-object", "{s:s, s:s, s:I, s:I, s:I, s:b}", "qom-type", "sev-snp-guest",
                                "id", "sev0", "cbitpos", (long long) c->caps->cbitpos, "reduced-phys-bits",
                                (long long) c->caps->reduced_phys_bits, "policy", (long long) plan->policy,
                                "kernel-hashes", plan->kernel_hashes);
        else
                compose_build(c, "-object", "{s:s, s:s, s:I, s:I, s:I, s:b, s:s}", "qom-type", "sev-guest",
                                "id", "sev0", "cbitpos", (long long) c->caps->cbitpos, "reduced-phys-bits",
                                (long long) c->caps->reduced_phys_bits, "policy", (long long) plan->policy,
                                "kernel-hashes", plan->kernel_hashes, "legacy-vm-type",
                                plan->legacy_vm_type ? "on" : "off");
}
