/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Domain XML (libvirt: formatdomain.html, kbase/launch_security_sev.html; versions: NEWS.rst). Every value that enters the digest, or that
 * libvirt would otherwise choose by the host, is written out. */

#include <errno.h>
#include <inttypes.h>

#include "error.h"
#include "export-text.h"

/* The first libvirt that knows it. */
#define LIBVIRT_STATELESS 8006u
#define LIBVIRT_HASHES    8000u
#define LIBVIRT_SNP       10005u
#define LIBVIRT_TDX       11006u

/* Where libvirt looks for the service that signs quotes. */
#define QUOTE_SOCKET "/var/run/tdx-qgs/qgs.socket"

#define KIB UINT64_C(1024)

static void put_element(Text *t, const char *indent, const char *name, const char *text) {
        if (!text)
                return;
        text_putf(t, "%s<%s>", indent, name);
        export_put_xml(t, text);
        text_putf(t, "</%s>\n", name);
}

static int check_version(const ExportGuest *g, unsigned version, char **reterr) {
        const Coco *coco = coco_of(g->mode);
        unsigned least = coco->id_block ? LIBVIRT_SNP : coco->owner_values ? LIBVIRT_TDX : LIBVIRT_STATELESS;

        if (version != 0 && version < least)
                return error_set(reterr, -EINVAL,
                                "--libvirt-version: libvirt %u.%u cannot launch this guest: %s needs libvirt %u.%u or later",
                                version / 1000, version % 1000, coco->label, least / 1000, least % 1000);
        return 0;
}

/* What has no element. */
static int check(const ExportGuest *g, char **reterr) {
        const Coco *coco = coco_of(g->mode);

        if (coco->vcpus_measured && !coco->guest_features && !g->legacy_vm_type)
                return error_set(reterr, -EINVAL,
                                "libvirt cannot request the newer type of %s machine, whose vCPUs have another digest: add --sev-vm-type=legacy, and use the launch digest of that",
                                coco->label);
        if (!g->firmware)
                return error_set(reterr, -EINVAL, "the launch has no firmware file");
        if (coco->owner_values && (g->policy & ~COCO_TDX_LIBVIRT_BITS))
                return error_set(reterr, -EINVAL,
                                "--coco-policy=: libvirt takes the bits 0 (debug) and 28 (sept-ve-disable) of a TD's attributes, and 0x%" PRIx64
                                " has others",
                                g->policy);
        if (g->quote_socket && startswith(g->quote_socket, "vsock:"))
                return error_set(reterr, -EINVAL,
                                "--quote-socket=%s cannot be exported to libvirt: it has the path of a socket; name one, or no",
                                g->quote_socket);
        return 0;
}

static void put_os(const ExportGuest *g, Text *t) {
        text_put(t,
                        "  <os>\n    <type arch='x86_64' machine='q35'>hvm</type>\n"
                        "    <loader readonly='yes' type='rom' stateless='yes'>");
        export_put_xml(t, g->firmware);
        text_put(t, "</loader>\n");
        put_element(t, "    ", "kernel", g->kernel);
        put_element(t, "    ", "initrd", g->kernel ? g->initrd : NULL);
        put_element(t, "    ", "cmdline", g->kernel ? g->cmdline : NULL);
        text_put(t, "  </os>\n");
}

static void put_cpu(const ExportGuest *g, Text *t) {
        if (streq(g->cpu_model, "host") || coco_of(g->mode)->cpu_of_host) {
                text_put(t, "  <cpu mode='host-passthrough' check='none'/>\n");
                return;
        }
        text_put(t, "  <cpu mode='custom' match='exact' check='none'>\n    <model fallback='forbid'>");
        export_put_xml(t, g->cpu_model);
        text_put(t, "</model>\n  </cpu>\n");
}

static void put_disk(const ExportDisk *d, size_t i, Text *t) {
        bool cd = streq(d->type, "scsi-cd"), scsi = cd || streq(d->type, "virtio-scsi");

        text_putf(t, "    <disk type='file' device='%s'>\n      <driver name='qemu' type='%s'/>\n      <source file='",
                        cd ? "cdrom" : "disk", d->format);
        export_put_xml(t, d->path);
        text_putf(t, "'/>\n      <target dev='%s%c' bus='%s'/>\n%s    </disk>\n", scsi ? "sd" : "vd",
                        (char) ('a' + i), scsi ? "scsi" : "virtio",
                        d->read_only ? "      <readonly/>\n" : "");
}

static int put_devices(const ExportGuest *g, Text *t, char **reterr) {
        bool scsi = false;

        if (g->n_disks > 26)
                return error_set(reterr, -EINVAL, "%zu disks are more than the 26 that are exported",
                                g->n_disks);
        text_put(t, "  <devices>\n");
        for (size_t i = 0; i < g->n_disks; i++) {
                if (streq(g->disks[i].type, "nvme"))
                        return error_set(reterr, -EINVAL,
                                        "--image-disk-type=nvme: libvirt has no emulated NVMe disk in all supported versions; use virtio-blk");
                scsi = scsi || endswith(g->disks[i].type, "scsi") || streq(g->disks[i].type, "scsi-cd");
                put_disk(g->disks + i, i, t);
        }
        if (scsi)
                text_put(t, "    <controller type='scsi' index='0' model='virtio-scsi'/>\n");
        if (g->network)
                text_put(t, "    <interface type='user'>\n      <model type='virtio'/>\n      <rom enabled='no'/>\n    </interface>\n");
        if (g->virtio_console)
                text_put(t, "    <console type='pty'>\n      <target type='virtio' port='0'/>\n    </console>\n");
        else
                text_put(t, "    <serial type='pty'>\n      <target port='0'/>\n    </serial>\n");
        text_put(t, "    <memballoon model='none'/>\n  </devices>\n");
        return 0;
}

static void put_td(const ExportGuest *g, Text *t) {
        const char *quotes = g->quote_socket ?: QUOTE_SOCKET;

        text_putf(t, "  <launchSecurity type='tdx'>\n    <policy>0x%08" PRIx64 "</policy>\n", g->policy);
        put_element(t, "    ", "mrConfigId", g->mrconfigid);
        put_element(t, "    ", "mrOwner", g->mrowner);
        put_element(t, "    ", "mrOwnerConfig", g->mrownerconfig);
        if (!streq(quotes, "no")) {
                text_put(t, "    <quoteGenerationService path='");
                export_put_xml(t, quotes);
                text_put(t, "'/>\n");
        }
        text_put(t, "  </launchSecurity>\n");
}

static void put_security(const ExportGuest *g, Text *t) {
        bool snp = coco_of(g->mode)->id_block;

        if (coco_of(g->mode)->owner_values) {
                put_td(g, t);
                return;
        }
        text_putf(t, "  <launchSecurity type='%s' kernelHashes='%s'", snp ? "sev-snp" : "sev",
                        g->kernel_hashes ? "yes" : "no");
        if (snp)
                text_putf(t, " authorKey='%s' vcek='%s'", g->author_key ? "yes" : "no",
                                g->vcek ? "yes" : "no");
        /* libvirt reads the number as hexadecimal, with 0x or without. */
        text_putf(t, ">\n    <policy>0x%0*" PRIx64 "</policy>\n", snp ? 8 : 4, g->policy);
        put_element(t, "    ", "hostData", g->host_data);
        put_element(t, "    ", "idBlock", g->id_block);
        put_element(t, "    ", "idAuth", g->id_auth);
        put_element(t, "    ", "dhCert", g->dh_cert);
        put_element(t, "    ", "session", g->session);
        text_put(t, "  </launchSecurity>\n");
}

int export_libvirt(const ExportGuest *g, const ExportOptions *o, Text *t, char ***notices, char **reterr) {
        const Coco *coco = coco_of(g->mode);
        int r = check_version(g, o->libvirt, reterr);

        if (r >= 0)
                r = check(g, reterr);
        if (r >= 0 && streq(g->cpu_model, "host") && coco->vcpus_measured)
                r = strv_push(notices,
                                "--cpu=host: the launch digest depends on the CPU of the machine that runs the guest; name a model to get the same digest on all machines");
        if (r < 0)
                return r;
        text_put(t, "<domain type='kvm'>\n");
        put_element(t, "  ", "name", g->name);
        put_element(t, "  ", "uuid", g->uuid);
        text_putf(t, "  <memory unit='KiB'>%" PRIu64 "</memory>\n", g->ram / KIB);
        if (coco->host.pins_memory && coco->launch_session)
                text_put(t, "  <memoryBacking>\n    <locked/>\n  </memoryBacking>\n");
        text_putf(t, "  <vcpu placement='static'>%u</vcpu>\n", g->vcpus);
        put_os(g, t);
        text_putf(t, "  <features>\n    <acpi/>\n    <apic/>\n%s    <smm state='off'/>\n    <vmport state='off'/>\n  </features>\n",
                        coco->owner_values ? "    <ioapic driver='qemu'/>\n" : "");
        put_cpu(g, t);
        text_put(t, "  <on_poweroff>destroy</on_poweroff>\n  <on_reboot>destroy</on_reboot>\n  <on_crash>destroy</on_crash>\n");
        r = put_devices(g, t, reterr);
        if (r < 0)
                return r;
        put_security(g, t);
        text_put(t, "</domain>\n");
        return 0;
}
