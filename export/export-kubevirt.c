/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* KubeVirt: a VirtualMachineInstance (kubevirt.io/api/core/v1). Its API up to 1.9 has no fields for kernel hashes and the inputs of the secure
 * processor: they are written as the fields that are proposed there, or by a hook that edits the domain's XML. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "export-text.h"

#define MIB UINT64_C(1048576)
/* Where the container image has them. */
#define KERNEL_PATH "/vmlinuz"
#define INITRD_PATH "/initrd.img"
#define SCRIPT      "on-define-domain.sh"
/* What KubeVirt itself requests. */
#define POLICY 0x30000u

/* A name of a container image is one word. */
static int check_image(const char *option, const char *name, char **reterr) {
        bool bad = name && !*name;

        for (const char *p = name; p && *p; p++)
                bad = bad || *p <= ' ' || *p > '~';
        return bad ? error_set(reterr, -EINVAL,
                                     "--%s='%s' is not the name of a container image: expected one such as registry.example/name:tag",
                                     option, name)
                   : 0;
}

/* RFC 1123, section 2.1: Kubernetes derives the names of a pod and its host from it. */
static int check_name(const char *name, char **reterr) {
        size_t n = strlen(name);

        if (n > 0 && n <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n &&
                        name[0] != '-' && name[n - 1] != '-')
                return 0;
        return error_set(reterr, -EINVAL,
                        "--machine=%s cannot be the name of a KubeVirt instance: use lower case letters, digits and '-' between them, at most 63",
                        name);
}

static int check(const ExportGuest *g, const ExportOptions *o, char **reterr) {
        if (!coco_of(g->mode)->id_block)
                return error_set(reterr, -EINVAL,
                                "%s cannot be exported to kubevirt: it has a variable store there, and direct kernel boot is not measured",
                                coco_of(g->mode)->label);
        if (g->kernel && !g->kernel_hashes)
                return error_set(reterr, -EINVAL, "a kernel without kernel hashes is not exported");
        if (g->kernel && !o->kernel_image)
                return error_set(reterr, -EINVAL,
                                "KubeVirt takes the kernel out of a container image: pass its name with --kernel-image=NAME, with the kernel as " KERNEL_PATH
                                " and the initrd as " INITRD_PATH " in it");
        if (g->n_disks > 1)
                return error_set(reterr, -EINVAL, "more than one disk is not exported to kubevirt");
        if (g->n_disks == 1 && !streq(g->disks->type, "virtio-blk"))
                return error_set(reterr, -EINVAL,
                                "--image-disk-type=%s is not exported to kubevirt: use virtio-blk",
                                g->disks->type);
        if (g->virtio_console)
                return error_set(reterr, -EINVAL,
                                "--console-transport=virtio: KubeVirt's console is a serial port");
        if (g->author_key || !g->vcek)
                return error_set(reterr, -EINVAL, "%s: KubeVirt has no field for it",
                                g->vcek ? "the author key of --id-auth" : "--vcek=no");
        return 0;
}

static int add_notices(const ExportGuest *g, const ExportOptions *o, char ***notices) {
        int r = strv_pushf(notices,
                        "KubeVirt's virt-launcher image has the firmware: it must have the bytes of '%s', or the launch digest differs",
                        g->firmware);

        if (r >= 0 && g->kernel)
                r = strv_pushf(notices, "put '%s' as " KERNEL_PATH "%s%s%s into the container image '%s'",
                                g->kernel, g->initrd ? " and '" : "", g->initrd ?: "",
                                g->initrd ? "' as " INITRD_PATH : "", o->kernel_image);
        if (r >= 0 && g->n_disks > 0)
                r = strv_pushf(notices, "upload '%s' into the volume claim '%s-disk' (virtctl image-upload)",
                                g->disks->path, g->name);
        if (r >= 0 && streq(g->cpu_model, "host"))
                r = strv_push(notices, "--cpu=host: the launch digest depends on the CPU of the node");
        if (r >= 0 && !o->hook_sidecar && (g->kernel || g->host_data || g->id_block || g->policy != POLICY))
                r = strv_push(notices,
                                "KubeVirt up to 1.9 does not know the fields below launchSecurity.snp: with such a release use --hook-sidecar=IMAGE");
        return r;
}

/* --- the hook ------------------------------------------------------------------------------------------------------------ */

/* A part of the script's sed(1) program, in single quotes: base64, numbers and words only. */
static int put_hook(const ExportGuest *g, Text *t) {
        const struct {
                const char *name, *value;
        } elements[] = {
                { "hostData", g->host_data },
                { "idBlock", g->id_block },
                { "idAuth", g->id_auth },
        };

        text_put(t, "#!/bin/sh\n# Written by cvmspawn-export(1). KubeVirt's sidecar-shim calls it with --vmi JSON --domain XML.\nprintf '%s\\n' \"$4\" | sed -E \\\n");
        text_putf(t, "        -e 's|<launchSecurity [^>]*type=\"sev-snp\"[^>]*>|<launchSecurity type=\"sev-snp\" kernelHashes=\"%s\">",
                        g->kernel_hashes ? "yes" : "no");
        FOREACH_ARRAY(e, elements, ELEMENTSOF(elements))
                if (e->value)
                        text_putf(t, "<%s>%s</%s>", e->name, e->value, e->name);
        text_putf(t, "|' \\\n        -e 's|<policy>[^<]*</policy>|<policy>0x%08" PRIx64 "</policy>|'\n",
                        g->policy);
        return t->error;
}

static int config_map(const ExportGuest *g, const char *name, Json **ret) {
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *script = NULL;
        int r = put_hook(g, &t);

        if (r >= 0)
                r = text_finish(&t, &script);
        return r < 0 ? r
                     : js_build(ret, "{s:s, s:s, s:{s:s}, s:{s:s}}", "apiVersion", "v1", "kind", "ConfigMap",
                                       "metadata", "name", name, "data", SCRIPT, script);
}

/* The annotation is JSON within JSON. */
static int set_hook(const ExportOptions *o, const char *name, Json *metadata) {
        _cleanup_js_ Json *list = NULL;
        _cleanup_free_ char *text = NULL;
        Json *annotations;
        int r = js_build(&list, "[{s:[s, s], s:s, s:{s:s, s:s, s:s}}]", "args", "--version", "v1alpha2",
                        "image", o->hook_sidecar, "configMap", "name", name, "key", SCRIPT, "hookPath",
                        "/usr/bin/onDefineDomain");

        if (r < 0)
                return r;
        text = js_text(list, JS_SHORT);
        r = text ? js_build(&annotations, "{s:s}", "hooks.kubevirt.io/hookSidecars", text) : -ENOMEM;
        return r < 0 ? r : js_set(metadata, "annotations", annotations);
}

/* --- the instance -------------------------------------------------------------------------------------------------------- */

static int set_security(const ExportGuest *g, const ExportOptions *o, Json *domain) {
        Json *snp = js_object(), *security;
        char policy[32];
        int r = snp ? 0 : -ENOMEM;

        (void) snprintf(policy, sizeof(policy), "0x%" PRIx64, g->policy);
        if (r >= 0 && !o->hook_sidecar && g->kernel)
                r = js_set(snp, "kernelHashes", js_bool(true));
        if (r >= 0 && !o->hook_sidecar && g->policy != POLICY)
                r = js_set(snp, "policy", js_string(policy));
        if (r >= 0 && !o->hook_sidecar && g->host_data)
                r = js_set(snp, "hostData", js_string(g->host_data));
        if (r >= 0 && !o->hook_sidecar && g->id_block)
                r = js_set(snp, "idBlock", js_string(g->id_block));
        if (r >= 0 && !o->hook_sidecar && g->id_auth)
                r = js_set(snp, "idAuth", js_string(g->id_auth));
        if (r < 0) {
                js_unref(snp);
                return r;
        }
        r = js_build(&security, "{s:o}", "snp", snp);
        return r < 0 ? r : js_set(domain, "launchSecurity", security);
}

static int set_firmware(const ExportGuest *g, const ExportOptions *o, Json *domain) {
        Json *firmware, *boot = NULL, *container;
        int r = js_build(&firmware, "{s:{s:{s:b}}}", "bootloader", "efi", "secureBoot", 0);

        if (r >= 0 && g->uuid)
                r = js_set(firmware, "uuid", js_string(g->uuid));
        if (r >= 0 && g->kernel)
                r = js_build(&boot, "{s:s, s:{s:s, s:s}}", "kernelArgs", g->cmdline ?: "", "container",
                                "image", o->kernel_image, "kernelPath", KERNEL_PATH);
        if (boot && g->initrd) {
                container = (Json *) js_get(boot, "container");
                r = js_set(container, "initrdPath", js_string(INITRD_PATH));
        }
        if (r >= 0 && boot)
                r = js_set(firmware, "kernelBoot", js_ref(boot));
        js_unref(boot);
        if (r < 0) {
                js_unref(firmware);
                return r;
        }
        return js_set(domain, "firmware", firmware);
}

static int set_devices(const ExportGuest *g, Json *spec, Json *domain) {
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *claim = NULL;
        Json *devices, *volumes;
        int r;

        if (g->n_disks == 0) {
                r = js_build(&devices, "{s:b, s:b}", "autoattachMemBalloon", 0, "autoattachGraphicsDevice",
                                0);
                return r < 0 ? r : js_set(domain, "devices", devices);
        }
        text_putf(&t, "%s-disk", g->name);
        r = text_finish(&t, &claim);
        if (r >= 0)
                r = js_build(&devices, "{s:b, s:b, s:[{s:s, s:{s:s}}]}", "autoattachMemBalloon", 0,
                                "autoattachGraphicsDevice", 0, "disks", "name", "disk", "disk", "bus",
                                "virtio");
        if (r >= 0)
                r = js_set(domain, "devices", devices);
        if (r >= 0)
                r = js_build(&volumes, "[{s:s, s:{s:s}}]", "name", "disk", "persistentVolumeClaim",
                                "claimName", claim);
        return r < 0 ? r : js_set(spec, "volumes", volumes);
}

static int set_domain(const ExportGuest *g, const ExportOptions *o, Json *spec) {
        Json *domain;
        char memory[32];
        int r;

        (void) snprintf(memory, sizeof(memory), "%" PRIu64 "Mi", g->ram / MIB);
        r = js_build(&domain, "{s:{s:s, s:I, s:i, s:i}, s:{s:s}, s:{s:s}}", "cpu", "model",
                        streq(g->cpu_model, "host") ? "host-passthrough" : g->cpu_model, "cores",
                        (long long) g->vcpus, "sockets", 1, "threads", 1, "memory", "guest", memory,
                        "machine", "type", "q35");
        if (r < 0)
                return r;
        r = js_set(spec, "domain", domain);
        if (r >= 0)
                r = set_firmware(g, o, domain);
        if (r >= 0)
                r = set_security(g, o, domain);
        return r < 0 ? r : set_devices(g, spec, domain);
}

static int instance(const ExportGuest *g, const ExportOptions *o, const char *hook, Json **ret) {
        _cleanup_js_ Json *j = NULL;
        Json *metadata, *spec = js_object();
        int r = js_build(&j, "{s:s, s:s, s:{s:s}}", "apiVersion", "kubevirt.io/v1", "kind",
                        "VirtualMachineInstance", "metadata", "name", g->name);

        if (r < 0) {
                js_unref(spec);
                return r;
        }
        r = js_set(j, "spec", spec);
        metadata = (Json *) js_get(j, "metadata");
        if (r >= 0 && o->hook_sidecar)
                r = set_hook(o, hook, metadata);
        if (r >= 0)
                r = set_domain(g, o, spec);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
}

int export_kubevirt(const ExportGuest *g, const ExportOptions *o, Text *t, char ***notices, char **reterr) {
        _cleanup_(text_done) Text name = {};
        _cleanup_free_ char *hook = NULL, *text = NULL;
        _cleanup_js_ Json *all = NULL, *vmi = NULL, *map = NULL;
        int r = check_image("kernel-image", o->kernel_image, reterr);

        if (r >= 0)
                r = check_image("hook-sidecar", o->hook_sidecar, reterr);
        if (r >= 0)
                r = check_name(g->name, reterr);
        if (r >= 0)
                r = check(g, o, reterr);
        if (r >= 0)
                r = add_notices(g, o, notices);
        text_putf(&name, "%s-launch", g->name);
        if (r >= 0)
                r = text_finish(&name, &hook);
        if (r >= 0)
                r = instance(g, o, hook, &vmi);
        if (r >= 0 && o->hook_sidecar)
                r = config_map(g, hook, &map);
        if (r >= 0 && map)
                r = js_build(&all, "{s:s, s:s, s:[O, O]}", "apiVersion", "v1", "kind", "List", "items", map,
                                vmi);
        text = r >= 0 ? js_text(all ?: vmi, JS_PRETTY) : NULL;
        if (!text)
                return r < 0 ? r : -ENOMEM;
        text_putf(t, "%s\n", text);
        return 0;
}
