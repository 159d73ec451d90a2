/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A shell script that starts QEMU (docs/system/i386/amd-memory-encryption.rst) without this launcher: nothing is looked up on the host. */

#include <errno.h>
#include <inttypes.h>

#include "error.h"
#include "export-text.h"

#define MIB UINT64_C(1048576)

/* One option with its value. */
static void put(Text *t, const char *option, const char *value) {
        text_putf(t, " \\\n        %s ", option);
        export_put_shell(t, value);
}

/* A value of a key=value list, where a comma is doubled. */
static void put_value(Text *t, const char *value) {
        for (const char *s = value; *s; s++)
                text_put_n(t, *s == ',' ? ",," : s, *s == ',' ? 2 : 1);
}

static int put_list(Text *t, const char *option, Text *list) {
        _cleanup_free_ char *text = NULL;
        int r = text_finish(list, &text);

        if (r >= 0)
                put(t, option, text);
        return r;
}

static int put_object(const ExportGuest *g, Text *t) {
        const Coco *coco = coco_of(g->mode);
        const struct {
                const char *key, *value;
        } texts[] = {
                { "host-data", g->host_data },
                { "id-block", g->id_block },
                { "id-auth", g->id_auth },
        };
        _cleanup_(text_done) Text list = {};

        text_putf(&list, "%s,id=sev0,cbitpos=51,reduced-phys-bits=1,policy=0x%" PRIx64 ",kernel-hashes=%s",
                        coco->qemu_object, g->policy, g->kernel_hashes ? "on" : "off");
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (texts[i].value)
                        text_putf(&list, ",%s=%s", texts[i].key, texts[i].value);
        if (g->author_key)
                text_put(&list, ",author-key-enabled=on");
        if (coco->id_block && !g->vcek)
                text_put(&list, ",vcek-disabled=on");
        if (!coco->id_block)
                text_putf(&list, ",legacy-vm-type=%s", g->legacy_vm_type ? "on" : "off");
        return put_list(t, "-object", &list);
}

static int put_disk(const ExportDisk *d, size_t i, Text *t) {
        bool cd = streq(d->type, "scsi-cd"), scsi = cd || streq(d->type, "virtio-scsi");
        _cleanup_(text_done) Text list = {};

        text_putf(&list, "if=none,id=disk%zu,format=%s,read-only=%s,file=", i, d->format,
                        d->read_only ? "on" : "off");
        put_value(&list, d->path);
        if (scsi && i == 0)
                put(t, "-device", "virtio-scsi-pci,id=scsi0,iommu_platform=on,disable-legacy=on");
        text_putf(t, " \\\n        -device %s,drive=disk%zu%s",
                        cd                                       ? "scsi-cd"
                                        : scsi                   ? "scsi-hd"
                                        : streq(d->type, "nvme") ? "nvme"
                                                                 : "virtio-blk-pci",
                        i,
                        scsi                                     ? ""
                                        : streq(d->type, "nvme") ? ",serial=disk"
                                                                 : ",iommu_platform=on,disable-legacy=on");
        return put_list(t, "-drive", &list);
}

static int put_machine(const ExportGuest *g, Text *t) {
        _cleanup_(text_done) Text name = {};

        text_put(&name, "guest=");
        put_value(&name, g->name);
        text_put(t, "exec qemu-system-x86_64");
        int r = put_list(t, "-name", &name);
        if (g->uuid)
                put(t, "-uuid", g->uuid);
        text_put(t, " \\\n        -nodefaults -no-user-config -no-reboot -display none");
        put(t, "-machine",
                        "q35,accel=kvm,smm=off,vmport=off,kernel-irqchip=split,confidential-guest-support=sev0,memory-backend=ram0");
        put(t, "-cpu", g->cpu_model);
        text_putf(t, " \\\n        -smp cpus=%u,maxcpus=%u \\\n        -m size=%" PRIu64 "M", g->vcpus,
                        g->vcpus, g->ram / MIB);
        text_putf(t, " \\\n        -object memory-backend-memfd,id=ram0,size=%" PRIu64 "M,share=%s",
                        g->ram / MIB, coco_of(g->mode)->guest_memfd ? "on" : "off");
        return r;
}

int export_qemu(const ExportGuest *g, _unused_ const ExportOptions *o, Text *t, _unused_ char ***notices,
                _unused_ char **reterr) {
        int r;

        text_put(t, "#!/bin/sh\n# Written by cvmspawn-export(1). cbitpos=51 is that of EPYC 7003 and later; it is not measured.\n");
        r = put_machine(g, t);
        if (r >= 0)
                r = put_object(g, t);
        put(t, "-bios", g->firmware);
        if (g->kernel)
                put(t, "-kernel", g->kernel);
        if (g->kernel && g->initrd)
                put(t, "-initrd", g->initrd);
        if (g->kernel && g->cmdline)
                put(t, "-append", g->cmdline);
        for (size_t i = 0; r >= 0 && i < g->n_disks; i++)
                r = put_disk(g->disks + i, i, t);
        if (g->network)
                text_put(t, " \\\n        -netdev user,id=net0 -device virtio-net-pci,netdev=net0,romfile=,iommu_platform=on,disable-legacy=on");
        text_put(t,
                        g->virtio_console
                                        ? " \\\n        -chardev stdio,id=console -device virtio-serial-pci,iommu_platform=on,disable-legacy=on -device virtconsole,chardev=console"
                                        : " \\\n        -serial stdio");
        text_put(t, "\n");
        return r;
}
