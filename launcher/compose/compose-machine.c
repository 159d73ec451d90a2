/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Machine, CPU and memory. What enters the launch digest of a confidential guest: firmware, kernel hashes, the
 * number of vCPUs and the CPU model's signature; everything else here does not. */

#include <inttypes.h>

#include "compose-parts.h"

#define MIB (UINT64_C(1) << 20)
/* The firmware of a TD uses no more than 46 bits of addresses, where QEMU's default is 40; that is in the tables. */
#define TABLES_CPU "max,vendor=GenuineIntel,level=0x21,phys-bits=46"

static uint64_t mib(uint64_t bytes) {
        return (bytes + MIB - 1) / MIB;
}

static uint64_t ram_mib(const Composer *c) {
        return mib(c->config->ram);
}

/* KVM by the descriptor that the service manager has passed. */
static void compose_kvm(Composer *c) {
        compose_addf(c, "-add-fd", "fd=%d,set=%d,opaque=/dev/kvm", LAUNCH_FD_KVM, LAUNCH_KVM_SET);
        compose_addf(c, "-accel", "kvm,device=/dev/fdset/%d", LAUNCH_KVM_SET);
        compose_fd(c, LAUNCH_FD_KVM);
}

/* -machine and -smp take key=value text; nothing in it comes from the user, so nothing needs escaping. */
void compose_machine(Composer *c) {
        const char *smm = c->inputs->firmware_smm                          ? ",smm=on"
                        : c->inputs->firmware_kind == FIRMWARE_KIND_PFLASH ? ""
                                                                           : ",smm=off";
        const bool passed = !c->tables && c->choices->kvm && c->choices->kvm_fd > 0;
        const ComposeVendor *simulated =
                        c->choices->simulated ? compose_vendor(coco_of(c->inputs->plan.mode)) : NULL;

        compose_addf(c, "-name", "%s", c->config->machine ?: "cvm");
        if (c->config->uuid)
                compose_add(c, "-uuid", c->config->uuid, NULL);

        if (passed)
                compose_kvm(c);
        compose_addf(c, "-machine", "q35%s,hpet=off,vmport=off,usb=off%s%s%s%s,memory-backend=ram0%s%s",
                        passed                                          ? ""
                                        : c->choices->kvm && !c->tables ? ",accel=kvm"
                                                                        : ",accel=tcg",
                        smm,
                        c->tables                         ? ",pic=off"
                                        : c->confidential ? ",kernel-irqchip=split"
                                        : simulated       ? simulated->simulated_machine
                                                          : "",
                        c->confidential ? ",confidential-guest-support=" : "",
                        c->confidential ? coco_of(c->inputs->plan.mode)->qemu_id : "",
                        c->inputs->firmware_kind == FIRMWARE_KIND_PFLASH ? ",pflash0=pflash0-file" : "",
                        c->inputs->firmware_kind == FIRMWARE_KIND_PFLASH ? ",pflash1=pflash1-file" : "");
        /* A guest whose registers are measured has a named model, whose signature is in them; a plain one the best there is. */
        compose_add(c, "-cpu",
                        c->tables                         ? TABLES_CPU
                                        : c->confidential ? c->config->cpu_model
                                        : simulated       ? simulated->simulated_cpu
                                                          : "max",
                        NULL);
        /* maxcpus is said, so that no later default adds vCPUs. */
        compose_addf(c, "-smp", "cpus=%u,maxcpus=%u", c->config->cpus, c->config->cpus);
        if (c->config->ram_max > 0)
                compose_addf(c, "-m", "size=%" PRIu64 "M,slots=%u,maxmem=%" PRIu64 "M", ram_mib(c),
                                c->config->ram_slots, mib(c->config->ram_max));
        else
                compose_addf(c, "-m", "size=%" PRIu64 "M", ram_mib(c));
        /* An SNP guest's private pages lie in memory of KVM's (guest_memfd), and pages that change sides are discarded in the other: in
         * private memory of QEMU's that leaves a second copy behind, and QEMU warns (system/physmem.c, ram_block_discard_range()). */
        bool share = c->confidential && coco_of(c->inputs->plan.mode)->guest_memfd;

        /* virtiofsd maps the guest's memory, too. */
        share = share || vm_config_n_shares(c->config) > 0;
        /* Another process works on the rings of such a device. */
        share = share || c->choices->vsock == VSOCK_USER;

        compose_build(c, "-object", "{s:s, s:s, s:I, s:b}", "qom-type", "memory-backend-memfd", "id", "ram0",
                        "size", (long long) (ram_mib(c) * MIB), "share", share);
}

void compose_confidential(Composer *c) {
        const LaunchPlan *plan = &c->inputs->plan;
        const Coco *coco = coco_of(plan->mode);
        _cleanup_js_ Json *j = NULL;
        int r;

        if (!c->confidential)
                return;
        r = js_build(&j, "{s:s, s:s}", "qom-type", coco->qemu_object, "id", coco->qemu_id);
        if (r >= 0)
                r = compose_vendor(coco)->add_object(c, coco, j);
        if (r < 0 && c->error == 0)
                c->error = r;
        compose_json(c, "-object", TAKE_PTR(j));
}
