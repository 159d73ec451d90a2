/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Proxmox VE: 'qm set' for a virtual machine that exists (qemu-server: src/PVE/QemuServer/CPUConfig.pm). A kernel goes in by args. */

#include <errno.h>
#include <inttypes.h>

#include "error.h"
#include "export-text.h"

#define MIB UINT64_C(1048576)
/* Bits of the guest policy: AMD 55766 and 56860. */
#define SEV_NODBG  UINT64_C(0x01)
#define SEV_NOKS   UINT64_C(0x02)
#define SEV_ES     UINT64_C(0x04)
#define SEV_NOSEND UINT64_C(0x08)
#define SNP_SMT    UINT64_C(0x10000)
#define SNP_ONE    UINT64_C(0x20000)
#define SNP_DEBUG  UINT64_C(0x80000)

static int check(const ExportGuest *g, char ***notices, char **reterr) {
        const Coco *coco = coco_of(g->mode);
        uint64_t known = coco->id_block ? SNP_SMT | SNP_ONE | SNP_DEBUG
                                        : SEV_NODBG | SEV_NOKS | SEV_ES | SEV_NOSEND;

        if (coco->event_log)
                return error_set(reterr, -EINVAL, "%s cannot be exported to proxmox", coco->label);
        if (g->policy & ~known)
                return error_set(reterr, -EINVAL,
                                "--coco-policy: Proxmox has no key for a bit of the policy 0x%" PRIx64,
                                g->policy);
        if (coco->vcpus_measured && !coco->guest_features && !g->legacy_vm_type)
                return error_set(reterr, -EINVAL,
                                "Proxmox does not request the newer type of %s machine, whose vCPUs have another digest: add --sev-vm-type=legacy",
                                coco->label);
        if (g->virtio_console)
                return error_set(reterr, -EINVAL, "--console-transport=virtio is not exported to proxmox");
        if (!coco->id_block && !(g->policy & SEV_NOSEND))
                return strv_pushf(notices,
                                "Proxmox sets the bit 'nosend' of the guest policy: it is 0x%" PRIx64
                                ", not 0x%" PRIx64,
                                g->policy | SEV_NOSEND, g->policy);
        return 0;
}

static void put_sev(const ExportGuest *g, Text *t) {
        text_put(t, " \\\n        --amd-sev type=");
        if (coco_of(g->mode)->id_block)
                text_putf(t, "snp,allow-smt=%d,no-debug=%d", (g->policy & SNP_SMT) != 0,
                                !(g->policy & SNP_DEBUG));
        else
                text_putf(t, "%s,no-debug=%d,no-key-sharing=%d", g->policy & SEV_ES ? "es" : "std",
                                (g->policy & SEV_NODBG) != 0, (g->policy & SEV_NOKS) != 0);
        text_putf(t, ",kernel-hashes=%d", g->kernel_hashes);
}

/* Proxmox splits it as a shell does. */
static int put_args(const ExportGuest *g, Text *t) {
        const struct {
                const char *option, *value;
        } options[] = {
                { "-kernel ", g->kernel },
                { " -initrd ", g->initrd },
                { " -append ", g->cmdline },
        };
        _cleanup_(text_done) Text args = {};
        _cleanup_free_ char *text = NULL;
        int r;

        if (!g->kernel)
                return 0;
        FOREACH_ARRAY(o, options, ELEMENTSOF(options)) {
                if (!o->value)
                        continue;
                text_put(&args, o->option);
                export_put_shell(&args, o->value);
        }
        r = text_finish(&args, &text);
        if (r < 0)
                return r;
        text_put(t, " \\\n        --args ");
        export_put_shell(t, text);
        return 0;
}

int export_proxmox(const ExportGuest *g, _unused_ const ExportOptions *o, Text *t, char ***notices,
                char **reterr) {
        int r = check(g, notices, reterr);

        if (r >= 0)
                r = strv_pushf(notices,
                                "Proxmox has its own firmware for encrypted guests: it must have the bytes of '%s', or the launch digest differs",
                                g->firmware);
        if (r < 0)
                return r;
        text_putf(t,
                        "#!/bin/sh\n# Written by cvmspawn-export(1) for Proxmox VE: %s, %u vCPUs. The argument is the number of a virtual machine without an EFI disk.\n"
                        "exec qm set \"${1:?the number of a virtual machine}\" \\\n        --machine q35 --bios ovmf --sockets 1 --cores %u --memory %" PRIu64,
                        coco_of(g->mode)->label, g->vcpus, g->vcpus, g->ram / MIB);
        text_put(t, " \\\n        --cpu ");
        export_put_shell(t, g->cpu_model);
        put_sev(g, t);
        r = put_args(g, t);
        text_put(t, "\n");
        return r;
}
