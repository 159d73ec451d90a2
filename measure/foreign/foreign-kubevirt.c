/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-kubevirt.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "foreign-kubevirt-table.h"
#include "foreign-text.h"
#include "overflow.h"
#include "strutil.h"
#include "yaml-json.h"

#define TEXT_SIZE_MAX (4u * 1024u * 1024u)
#define VCPUS_MAX     4096u
#define HOOK          "hooks.kubevirt.io/hookSidecars"
#define POLICY        "0x30000"

typedef struct Reader {
        const ForeignOptions *o;
        const Json *object, *domain; /* borrowed */
        KubevirtLine line;
        char **reterr;
} Reader;

static const Json *at(const Json *j, const char *a, const char *b) {
        j = js_get(j, a);
        return b ? js_get(j, b) : j;
}

static int text_at(Reader *q, const Json *j, const char *key, const char **ret) {
        const Json *v = js_get(j, key);

        *ret = js_string_value(v);
        if (v && (!*ret || strlen(*ret) != js_string_length(v)))
                return error_set(q->reterr, -EINVAL, "%s is not a text", key);
        return 0;
}

/* A VirtualMachine has the instance as its template. */
static int find_domain(Reader *q) {
        const char *kind = js_string_value(js_get(q->object, "kind"));
        const Json *instance = q->object, *spec, *annotations;
        int r;

        if (kind && streq(kind, "VirtualMachine"))
                instance = at(q->object, "spec", "template");
        else if (!kind || !streq(kind, "VirtualMachineInstance"))
                return error_set(q->reterr, -EINVAL,
                                "expected a VirtualMachineInstance or VirtualMachine as JSON or YAML: print it with 'kubectl get vmi NAME -o json'");
        spec = js_get(instance, "spec");
        q->domain = js_get(spec, "domain");
        if (!js_is_object(q->domain))
                return error_set(q->reterr, -EINVAL, "spec.domain is missing");
        annotations = at(instance, "metadata", "annotations");
        if (annotations && js_get(annotations, HOOK) && !strv_contains(q->o->assumed, HOOK))
                return error_set(q->reterr, -EINVAL,
                                "a hook (" HOOK
                                ") edits the domain's XML: pass the XML of the running domain ('virsh dumpxml' in its virt-launcher pod) with --from-libvirt; if it changes no measured byte, add --assume-unmeasured=" HOOK);
        if (kind && streq(kind, "VirtualMachine"))
                r = kubevirt_check_machine(js_get(q->object, "spec"), q->o->assumed, q->reterr);
        else
                r = 0;
        return r < 0 ? r : kubevirt_check_spec(spec, q->o->assumed, q->reterr);
}

/* --- what KubeVirt checks ------------------------------------------------------------------------------------------------ */

static int check_launch(Reader *q) {
        const Json *security = js_get(q->domain, "launchSecurity"),
                   *efi = at(js_get(q->domain, "firmware"), "bootloader", "efi");
        const char *type;
        bool secure = true; /* KubeVirt's default */
        int r;

        for (void *i = js_is_object(security) ? js_iter(security) : NULL; i; i = js_iter_next(security, i))
                if (!streq(js_iter_key(i), "snp"))
                        return error_set(q->reterr, -EINVAL,
                                        "launchSecurity.%s is not supported here, only launchSecurity.snp",
                                        js_iter_key(i));
        if (!js_get(security, "snp"))
                return error_set(q->reterr, -EINVAL,
                                "launchSecurity.snp is missing: such an instance has no launch digest");
        if (!efi)
                return error_set(q->reterr, -EINVAL,
                                "KubeVirt refuses this instance: SEV-SNP needs firmware.bootloader.efi");
        if (js_get(efi, "secureBoot") && js_bool_value(js_get(efi, "secureBoot"), &secure) < 0)
                return error_set(q->reterr, -EINVAL, "secureBoot is neither true nor false");
        if (secure)
                return error_set(q->reterr, -EINVAL,
                                "KubeVirt refuses this instance: SEV-SNP needs firmware.bootloader.efi.secureBoot=false");
        r = text_at(q, js_get(q->domain, "machine"), "type", &type);
        if (r >= 0 && type && (!strstr(type, "q35") || strchr(type, ',')))
                r = error_set(q->reterr, -EINVAL, "the machine type is %s, and SEV-SNP needs q35", type);
        return r;
}

/* --- the line ------------------------------------------------------------------------------------------------------------ */

static int push(Reader *q, const char *option, const char *value) {
        int r = strv_push(&q->line.argv, option);

        return r < 0 ? r : strv_push(&q->line.argv, value);
}

static int put_vcpus(Reader *q) {
        static const char *const keys[] = { "cores", "sockets", "threads" };
        const Json *cpu = js_get(q->domain, "cpu");
        uint64_t all = 1, n;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                const Json *v = js_get(cpu, keys[i]);

                if (!v)
                        continue;
                if (js_u64_value(v, &n) < 0 || !mul_u64(all, n, &all) || all == 0 || all > VCPUS_MAX)
                        return error_set(q->reterr, -EINVAL, "cpu.%s is not a number of vCPUs", keys[i]);
        }
        if (!cpu || (!js_get(cpu, "cores") && !js_get(cpu, "sockets") && !js_get(cpu, "threads")))
                r = strv_push(&q->line.notices,
                                "cpu.cores, sockets and threads are missing: using 1 vCPU; KubeVirt takes the number from resources where there are any, pass it with --vcpus then");
        else
                r = 0;
        if (r >= 0)
                r = strv_push(&q->line.argv, "-smp");
        return r < 0 ? r : strv_pushf(&q->line.argv, "%" PRIu64, all);
}

static int put_cpu(Reader *q) {
        const char *model;
        int r = text_at(q, js_get(q->domain, "cpu"), "model", &model);

        if (r < 0)
                return r;
        if (!q->o->given.cpu && (!model || startswith(model, "host-")))
                return error_set(q->reterr, -EINVAL,
                                "cpu.model is %s, the CPU of the node, and its signature is part of the digest: pass it with --vcpu-sig=NUMBER, or the model with --vcpu-type=MODEL",
                                model ?: "missing, which stands for host-model");
        if (model && strchr(model, ','))
                return error_set(q->reterr, -EINVAL, "cpu.model '%s' is not a CPU model", model);
        return push(q, "-cpu", !model || startswith(model, "host-") ? "qemu64" : model);
}

/* Kubernetes' quantities with a binary suffix. */
static int put_memory(Reader *q) {
        const char *text;
        int r = text_at(q, js_get(q->domain, "memory"), "guest", &text);
        const char *end = text ? text + strspn(text, "0123456789") : NULL;

        if (r >= 0 && !text)
                r = text_at(q, at(q->domain, "resources", "requests"), "memory", &text),
                end = text ? text + strspn(text, "0123456789") : NULL;
        if (r < 0)
                return r;
        if (!text || end == text || (!streq(end, "Mi") && !streq(end, "Gi")))
                return error_set(q->reterr, -EINVAL,
                                "memory.guest '%s': expected a size such as 2048Mi or 2Gi", text ?: "");
        r = strv_push(&q->line.argv, "-m");
        return r < 0 ? r : strv_pushf(&q->line.argv, "%.*s%c", (int) (end - text), text, *end);
}

static int put_object(Reader *q) {
        static const struct {
                const char *member, *property;
        } texts[] = {
                { "hostData", "host-data" },
                { "idBlock", "id-block" },
                { "idAuth", "id-auth" },
                { "guestVisibleWorkarounds", "guest-visible-workarounds" },
        };
        const Json *snp = at(q->domain, "launchSecurity", "snp"), *hashes = js_get(snp, "kernelHashes");
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *text = NULL;
        const char *value;
        bool on = false;
        int r = text_at(q, snp, "policy", &value);

        if (r >= 0 && hashes && js_bool_value(hashes, &on) < 0)
                r = error_set(q->reterr, -EINVAL, "kernelHashes is neither true nor false");
        if (r < 0)
                return r;
        text_putf(&t, "sev-snp-guest,id=lsec0,cbitpos=51,reduced-phys-bits=1,policy=%s,kernel-hashes=%s",
                        value ?: POLICY, on ? "on" : "off");
        FOREACH_ARRAY(p, texts, ELEMENTSOF(texts)) {
                r = text_at(q, snp, p->member, &value);
                if (r < 0)
                        return r;
                if (value && strchr(value, ','))
                        return error_set(q->reterr, -EINVAL, "%s is not base64", p->member);
                if (value)
                        text_putf(&t, ",%s=%s", p->property, value);
        }
        r = text_finish(&t, &text);
        return r < 0 ? r : push(q, "-object", text);
}

static int put_kernel(Reader *q) {
        const ForeignGiven *g = &q->o->given;
        const Json *boot = at(q->domain, "firmware", "kernelBoot"), *container = js_get(boot, "container");
        const char *args, *kernel, *initrd, *image;
        int r = text_at(q, boot, "kernelArgs", &args);

        if (r >= 0)
                r = text_at(q, container, "kernelPath", &kernel);
        if (r >= 0)
                r = text_at(q, container, "initrdPath", &initrd);
        if (r >= 0)
                r = text_at(q, container, "image", &image);
        if (r < 0)
                return r;
        if (boot && (!container || !kernel || !*kernel))
                return error_set(q->reterr, -EINVAL,
                                "%s is missing: without it KubeVirt does not boot a kernel; add it, or remove firmware.kernelBoot",
                                container ? "firmware.kernelBoot.container.kernelPath"
                                          : "firmware.kernelBoot.container");
        if (!kernel && (g->kernel || g->initrd || g->append))
                return error_set(q->reterr, -EINVAL,
                                "--kernel, --initrd and --append have no meaning here: the instance has no firmware.kernelBoot");
        if (!kernel)
                return 0;
        if ((!g->kernel && !g->kernel_hash) || (initrd && !g->initrd && !g->initrd_hash))
                return error_set(q->reterr, -EINVAL,
                                "the instance boots files of the container image '%s': get them out of it, and pass them with --kernel=FILE%s",
                                image ?: "", initrd ? " and --initrd=FILE" : "");
        if (!initrd && (g->initrd || g->initrd_hash))
                return error_set(q->reterr, -EINVAL,
                                "--initrd has no meaning here: the instance has no initrdPath");
        r = push(q, "-kernel", g->kernel ?: "kernel");
        if (r >= 0 && initrd)
                r = push(q, "-initrd", g->initrd ?: "initrd");
        return r < 0 || !args ? r : push(q, "-append", args);
}

static int put_machine(Reader *q) {
        const ForeignGiven *g = &q->o->given;
        int r;

        if (!g->firmware && !g->firmware_metadata)
                return error_set(q->reterr, -EINVAL,
                                "the firmware is that of KubeVirt's virt-launcher image, and is measured: pass its file (OVMF.amdsev.fd) with --ovmf=FILE");
        r = push(q, "-machine", "q35,accel=kvm,smm=off,confidential-guest-support=lsec0");
        return r < 0 || !g->firmware ? r : push(q, "-bios", g->firmware);
}

/* ------------------------------------------------------------------------------------------------------------------------- */

void kubevirt_line_done(KubevirtLine *l) {
        strv_free(l->argv);
        strv_free(l->notices);
        *l = (KubevirtLine) {};
}

int kubevirt_line_read(const Json *object, const ForeignOptions *o, KubevirtLine *ret, char **reterr) {
        static int (*const steps[])(Reader * q) = { find_domain, check_launch, put_machine, put_cpu,
                put_vcpus, put_memory, put_object, put_kernel };
        Reader q = { .o = o, .object = object, .reterr = reterr };
        int r = strv_push(&q.line.argv, "qemu-system-x86_64");

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(steps); i++)
                r = steps[i](&q);
        if (r < 0) {
                kubevirt_line_done(&q.line);
                return r;
        }
        *ret = q.line;
        return 0;
}

int foreign_from_kubevirt(const char *path, const ForeignOptions *o, ForeignResult *ret, char **reterr) {
        _cleanup_(kubevirt_line_done) KubevirtLine line = {};
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *object = NULL;
        size_t size;
        int r = foreign_read_text("from-kubevirt", path, TEXT_SIZE_MAX, &text, &size, reterr);

        if (r < 0)
                return r;
        r = text[strspn(text, " \t\r\n")] == '{' ? js_parse(text, size, &object, reterr)
                                                 : yaml_json_read(text, size, "", &object, reterr);
        if (r >= 0)
                r = kubevirt_line_read(object, o, &line, reterr);
        STRV_FOREACH(n, r >= 0 ? line.notices : NULL)
                if (r >= 0)
                        r = strv_push(&ret->notices, *n);
        if (r >= 0)
                r = foreign_from_argv(line.argv, NULL, o, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--from-kubevirt") : 0;
}
