/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Machine, CPU, memory, and the SEV object. What enters the launch digest of a confidential guest: firmware, kernel hashes, the
 * number of vCPUs and the CPU model's signature; everything else here does not. */

#include <inttypes.h>

#include "compose-parts.h"

#define MIB (UINT64_C(1) << 20)

static uint64_t mib(uint64_t bytes) {
        return (bytes + MIB - 1) / MIB;
}

static uint64_t ram_mib(const Composer *c) {
        return mib(c->config->ram);
}

/* -machine and -smp take key=value text; nothing in it comes from the user, so nothing needs escaping. */
void compose_machine(Composer *c) {
        const char *smm = c->inputs->firmware_smm                          ? ",smm=on"
                        : c->inputs->firmware_kind == FIRMWARE_KIND_PFLASH ? ""
                                                                           : ",smm=off";

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

static int set_text(Json *j, const char *key, const char *value) {
        return value ? js_set(j, key, js_string(value)) : 0;
}

/* The properties of sev-guest and sev-snp-guest: QEMU docs/system/i386/amd-memory-encryption.rst, qapi/qom.json. */
static int add_snp(const Composer *c, Json *j) {
        const LaunchInputs *in = c->inputs;
        int r = set_text(j, "host-data", in->host_data);

        if (r >= 0)
                r = set_text(j, "id-block", in->id_block);
        if (r >= 0)
                r = set_text(j, "id-auth", in->id_auth);
        if (r >= 0 && in->author_key)
                r = js_set(j, "author-key-enabled", js_bool(true));
        if (r >= 0 && !c->config->vcek)
                r = js_set(j, "vcek-disabled", js_bool(true));
        return r;
}

static int add_sev(const Composer *c, Json *j) {
        int r = js_set(j, "legacy-vm-type", js_string(c->inputs->plan.sev.legacy_vm_type ? "on" : "off"));

        if (r >= 0)
                r = set_text(j, "dh-cert-file", c->inputs->dh_cert);
        if (r >= 0)
                r = set_text(j, "session-file", c->inputs->session);
        return r;
}

void compose_confidential(Composer *c) {
        const LaunchPlan *plan = &c->inputs->plan;
        const Coco *coco = coco_of(plan->mode);
        _cleanup_js_ Json *j = NULL;
        int r;

        if (!c->confidential)
                return;
        r = js_build(&j, "{s:s, s:s, s:I, s:I, s:I, s:b}", "qom-type", coco->qemu_object, "id", "sev0",
                        "cbitpos", (long long) c->caps->sev.cbitpos, "reduced-phys-bits",
                        (long long) c->caps->sev.reduced_phys_bits, "policy", (long long) plan->policy,
                        "kernel-hashes", plan->sev.kernel_hashes);
        if (r >= 0)
                r = coco->id_block ? add_snp(c, j) : 0;
        if (r >= 0 && coco->launch_session)
                r = add_sev(c, j);
        if (r < 0 && c->error == 0)
                c->error = r;
        compose_json(c, "-object", TAKE_PTR(j));
}
