/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Kata Containers: keys of configuration.toml for its Go runtime (src/runtime/config/configuration-qemu-snp.toml.in, version 4.1). Kata puts
 * its own words before those of the file, so only a launch that has them can be exported. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "export-text.h"
#include "kata-initdata.h"
#include "kata-words.h"
#include "strutil.h"

#define MIB UINT64_C(1048576)

/* A basic string of TOML. */
static void put_string(Text *t, const char *key, const char *value) {
        text_putf(t, "%s = \"", key);
        for (const char *s = value; *s; s++)
                if (*s == '"' || *s == '\\')
                        text_putf(t, "\\%c", *s);
                else if (*s == '\n' || *s == '\t')
                        text_put(t, *s == '\n' ? "\\n" : "\\t");
                else
                        text_put_n(t, s, 1);
        text_put(t, "\"\n");
}

/* What no key says. */
static int check(const ExportGuest *g, const ExportOptions *o, char **reterr) {
        const Coco *coco = coco_of(g->mode);

        if (!coco->id_block)
                return error_set(reterr, -EINVAL,
                                "%s cannot be exported to kata: it launches SEV-SNP guests", coco->label);
        if (!streq(g->cpu_model, KATA_CPU_MODEL))
                return error_set(reterr, -EINVAL,
                                "--cpu=%s: Kata's SEV-SNP guests have the CPU model " KATA_CPU_MODEL
                                ", which is measured",
                                g->cpu_model);
        if (!g->kernel || !g->kernel_hashes)
                return error_set(reterr, -EINVAL, "Kata boots a kernel directly: pass it with --linux=");
        if (g->n_disks > 1 || (g->n_disks == 1) == (g->initrd != NULL))
                return error_set(reterr, -EINVAL,
                                "Kata has either an initrd (--initrd=) or one image of a root file system (--image=)");
        if (g->n_disks == 1 && !streq(g->disks->format, "raw"))
                return error_set(reterr, -EINVAL, "Kata reads a raw image only: --image-format=raw");
        if (g->host_data && !o->initdata)
                return error_set(reterr, -EINVAL,
                                "--host-data: Kata makes host data from a pod's initdata, and takes none from its configuration: pass that document with --initdata=FILE");
        if (g->host_data && !streq(g->host_data, o->initdata))
                return error_set(reterr, -EINVAL,
                                "--host-data is '%s', and Kata makes '%s' of the document of --initdata: leave --host-data out, or pass the other document",
                                g->host_data, o->initdata);
        if (g->author_key || !g->vcek)
                return error_set(reterr, -EINVAL, "%s: Kata has no key for it",
                                g->vcek ? "the author key of --id-auth" : "--vcek=no");
        return 0;
}

/* The part of the kernel command line that stays the user's. */
static int take_params(const ExportGuest *g, const char **ret_type, const char **ret, char **reterr) {
        static const char *const types[] = { "ext4", "xfs", "erofs" };
        _cleanup_free_ char *first = NULL;

        for (size_t i = 0; i < (g->initrd ? 1 : ELEMENTSOF(types)); i++) {
                const KataWords w = {
                        .rootfs_type = g->initrd ? NULL : types[i],
                        .scsi = true,
                        .launch_timeout = KATA_LAUNCH_TIMEOUT,
                };
                _cleanup_free_ char *own = NULL;
                const char *rest;
                int r = kata_words(&w, &own, reterr);

                if (r < 0)
                        return r;
                rest = startswith(g->cmdline ?: "", own);
                if (rest && (!*rest || (*rest == ' ' && rest[1]))) {
                        *ret_type = w.rootfs_type;
                        *ret = *rest ? rest + 1 : "";
                        return 0;
                }
                if (!first)
                        first = TAKE_PTR(own);
        }
        return error_set(reterr, -EINVAL,
                        "Kata has its own words first, and they are measured: add --exact-words, and begin the kernel command line with '%s'",
                        first);
}

int export_kata(const ExportGuest *g, const ExportOptions *o, Text *t, char ***notices, char **reterr) {
        const char *params, *type;
        int r = check(g, o, reterr);

        if (r >= 0)
                r = take_params(g, &type, &params, reterr);
        if (r >= 0)
                r = strv_push(notices,
                                "the digest is that of a pod without CPU limits and without annotations that change the guest, started by the Go runtime of Kata 4.1");
        if (r >= 0 && o->initdata)
                r = strv_pushf(notices,
                                "initdata is an annotation of the pod: its reports have the host data '%s' with " KATA_INITDATA_ANNOTATION
                                ", set to what 'gzip -c FILE | base64 -w0' prints",
                                o->initdata);
        if (r < 0)
                return r;
        text_put(t, "# Written by cvmspawn-export(1) for the Go runtime of Kata Containers 4.1: keys to set in configuration-qemu-snp.toml.\n");
        if (o->initdata)
                text_putf(t, "# Host data of a pod with the initdata: %s\n", o->initdata);
        text_put(t, "[hypervisor.qemu]\n");
        put_string(t, "kernel", g->kernel);
        put_string(t, g->initrd ? "initrd" : "image", g->initrd ?: g->disks->path);
        if (!g->initrd)
                put_string(t, "rootfs_type", type);
        put_string(t, "firmware", g->firmware);
        text_putf(t,
                        "firmware_volume = \"\"\nmachine_type = \"q35\"\nmachine_accelerators = \"\"\nconfidential_guest = true\nsev_snp_guest = true\nsnp_guest_policy = %" PRIu64
                        "\n",
                        g->policy);
        put_string(t, "snp_id_block", g->id_block ?: "");
        put_string(t, "snp_id_auth", g->id_auth ?: "");
        put_string(t, "kernel_params", params);
        text_putf(t,
                        "kernel_verity_params = \"\"\ncpu_features = \"pmu=off\"\ndefault_vcpus = %u\ndefault_maxvcpus = %u\ndefault_memory = %" PRIu64
                        "\n"
                        "block_device_driver = \"virtio-scsi\"\ndisable_image_nvdimm = true\nshared_fs = \"none\"\nenable_debug = false\nuse_legacy_serial = false\n"
                        "disable_guest_selinux = true\n\n[agent.kata]\nenable_debug = false\nenable_tracing = false\ndebug_console_enabled = false\n"
                        "launch_process_timeout = %u\n",
                        g->vcpus, g->vcpus, g->ram / MIB, KATA_LAUNCH_TIMEOUT);
        return 0;
}
