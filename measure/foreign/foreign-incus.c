/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-incus.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "foreign-effect.h"
#include "foreign-text.h"
#include "strutil.h"

#define TEXT_SIZE_MAX (16u * 1024u * 1024u)

/* Keys of a virtual machine (Incus: doc/reference/instance_options). A name that ends with "." stands for all that begin with it. */
static const EffectRow rows[] = {
        { .effect = EFFECT_KNOWN,
                        .names = "limits.cpu limits.memory security.sev security.sev.policy.es security.csm security.secureboot" },
        { .effect = EFFECT_NONE,
                        .names = "image. volatile. user. environment. boot. cloud-init. cluster. snapshots. migration. agent. placement. security.sev.session.dh security.sev.session.data security.protection. security.guestapi security.guestapi.images security.agent.metrics security.iommu security.shifted security.delegate_bpf" },
        { .effect = EFFECT_NONE,
                        .names = "limits.cpu.priority limits.cpu.nodes limits.cpu.allowance limits.disk.priority limits.memory.hugepages limits.memory.hotplug limits.memory.enforce limits.kernel. nvidia. oci. linux.kernel_modules" },
        { .effect = EFFECT_UNKNOWN, .names = "raw.", .why = "it changes QEMU's command line" },
};
static const EffectTable table = { "the instance's key ", rows, ELEMENTSOF(rows) };

/* Members of the answer (Incus: shared/api/instance.go). */
static const EffectRow instance_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "type expanded_config" },
        { .effect = EFFECT_NONE,
                        .names = "name architecture config created_at description devices disk_only ephemeral expanded_devices last_used_at location profiles project restore stateful status status_code backups snapshots state" },
};
static const EffectTable instance_table = { "the instance's member ", instance_rows,
        ELEMENTSOF(instance_rows) };

static int text_of(const Json *config, const char *key, const char **ret, char **reterr) {
        const Json *v = js_get(config, key);

        *ret = js_string_value(v);
        if (v && (!*ret || strlen(*ret) != js_string_length(v)))
                return error_set(reterr, -EINVAL, "%s is not a text", key);
        return 0;
}

static int flag_of(const Json *config, const char *key, bool *ret, char **reterr) {
        const char *text;
        int b, r = text_of(config, key, &text, reterr);

        if (r < 0)
                return r;
        b = text && *text ? parse_boolean(text) : 0;
        *ret = b > 0;
        return b < 0 ? error_set(reterr, -EINVAL, "%s '%s' is neither true nor false", key, text) : 0;
}

/* Profiles count, too: the expanded configuration is what is started. */
static int find_config(const Json *instance, const ForeignOptions *o, const Json **ret, char **reterr) {
        const char *type = js_string_value(js_get(instance, "type"));
        int r = 0;

        *ret = js_get(instance, "expanded_config");
        if (!js_is_object(*ret))
                return error_set(reterr, -EINVAL,
                                "expected an instance with expanded_config as JSON: print it with 'incus query /1.0/instances/NAME'");
        if (!streq_ptr(type, "virtual-machine"))
                return error_set(reterr, -EINVAL, "the instance is not a virtual machine");
        for (void *i = js_iter(instance); i && r >= 0; i = js_iter_next(instance, i))
                r = effect_check(&instance_table, js_iter_key(i), o->assumed, reterr);
        for (void *i = js_iter(*ret); i && r >= 0; i = js_iter_next(*ret, i))
                r = effect_check(&table, js_iter_key(i), o->assumed, reterr);
        return r < 0 ? r : 0;
}

/* Incus counts in units of 1000 and 1024: MB, MiB. */
static int put_memory(const Json *config, char ***argv, char **reterr) {
        const char *text, *end;
        char unit;
        int r = text_of(config, "limits.memory", &text, reterr);

        if (r < 0)
                return r;
        text = text && *text ? text : "1GiB";
        end = text + strspn(text, "0123456789");
        unit = *end;
        if (end == text || (!streq(end, "MiB") && !streq(end, "GiB")))
                return error_set(reterr, -EINVAL,
                                "limits.memory '%s': expected a size such as 2048MiB or 2GiB", text);
        r = strv_push(argv, "-m");
        return r < 0 ? r : strv_pushf(argv, "%.*s%c", (int) (end - text), text, unit);
}

/* A number; a list names CPUs to pin. */
static int put_vcpus(const Json *config, char ***argv, char **reterr) {
        const char *text;
        unsigned n = 1;
        int r = text_of(config, "limits.cpu", &text, reterr);

        if (r < 0)
                return r;
        if (text && *text && (parse_unsigned(text, &n) < 0 || n == 0))
                return error_set(reterr, -EINVAL,
                                "limits.cpu '%s': expected a number; CPUs to pin are not counted here",
                                text);
        r = strv_push(argv, "-smp");
        return r < 0 ? r : strv_pushf(argv, "%u", n);
}

int incus_line_read(const Json *instance, const ForeignOptions *o, char ***ret, char **reterr) {
        _cleanup_strv_free_ char **argv = NULL;
        const ForeignGiven *g = &o->given;
        const Json *config;
        bool sev = false, es = false, csm = false;
        int r = find_config(instance, o, &config, reterr);

        if (r >= 0)
                r = flag_of(config, "security.sev", &sev, reterr);
        if (r >= 0)
                r = flag_of(config, "security.sev.policy.es", &es, reterr);
        if (r >= 0)
                r = flag_of(config, "security.csm", &csm, reterr);
        if (r >= 0 && !sev)
                r = error_set(reterr, -EINVAL,
                                "security.sev is not true: such an instance has no launch digest");
        if (r >= 0 && csm)
                r = error_set(reterr, -EINVAL, "security.csm=true chooses a firmware that is not for SEV");
        if (r >= 0 && (g->kernel || g->initrd || g->append))
                r = error_set(reterr, -EINVAL,
                                "--kernel, --initrd and --append have no meaning here: Incus has no direct kernel boot");
        if (r >= 0 && !g->firmware && !g->firmware_metadata)
                r = error_set(reterr, -EINVAL,
                                "the firmware is Incus's own, and is measured: pass its file with --ovmf=FILE");
        if (r >= 0 && es && !g->cpu)
                r = error_set(reterr, -EINVAL,
                                "Incus gives the guest the host's CPU, whose signature is part of the digest: pass it with --vcpu-sig=NUMBER (CPUID leaf 1, EAX, of that machine)");
        if (r >= 0)
                r = strv_push(&argv, "qemu-system-x86_64");
        if (r >= 0)
                r = strv_push(&argv, "-machine");
        if (r >= 0)
                r = strv_push(&argv, "q35,accel=kvm,smm=off,confidential-guest-support=sev0");
        if (r >= 0)
                r = strv_push(&argv, "-cpu");
        if (r >= 0)
                r = strv_push(&argv, "qemu64"); /* what was given takes its place */
        if (r >= 0)
                r = put_vcpus(config, &argv, reterr);
        if (r >= 0)
                r = put_memory(config, &argv, reterr);
        if (r >= 0)
                r = strv_push(&argv, "-object");
        if (r >= 0)
                r = strv_pushf(&argv, "sev-guest,id=sev0,cbitpos=51,reduced-phys-bits=1,policy=0x%x",
                                es ? 5u : 1u);
        if (r >= 0 && g->firmware)
                r = strv_push(&argv, "-bios");
        if (r >= 0 && g->firmware)
                r = strv_push(&argv, g->firmware);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(argv);
        return 0;
}

int foreign_from_incus(const char *path, const ForeignOptions *o, ForeignResult *ret, char **reterr) {
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        size_t size;
        int r = foreign_read_text("from-incus", path, TEXT_SIZE_MAX, &text, &size, reterr);

        if (r < 0)
                return r;
        r = js_parse(text, size, &j, reterr);
        if (r >= 0 && js_is_array(j) && js_length(j) != 1)
                r = error_set(reterr, -EINVAL, "there are %zu instances: pass one", js_length(j));
        if (r >= 0)
                r = incus_line_read(js_is_array(j) ? js_at(j, 0) : j, o, &argv, reterr);
        if (r >= 0)
                r = strv_push(&ret->notices,
                                "NOT MEASURED: the instance's variable store, and the kernel in its disk");
        if (r >= 0)
                r = foreign_from_argv(argv, NULL, o, ret, reterr);
        return r < 0 ? error_prefix(reterr, r, "--from-incus") : 0;
}
