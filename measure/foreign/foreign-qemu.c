/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-qemu.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "foreign-config.h"
#include "foreign-qemu-device.h"
#include "foreign-qemu-table.h"
#include "strutil.h"

/* A command line with more is a mistake. */
#define CONFIGS_MAX 16u

void qemu_line_done(QemuLine *l) {
        FOREACH_ARRAY(o, l->objects, l->n_objects) {
                free(o->id);
                free(o->type);
                pairs_done(&o->properties);
        }
        FOREACH_ARRAY(d, l->drives, l->n_drives)
                pairs_done(&d->properties);
        FOREACH_ARRAY(b, l->blockdevs, l->n_blockdevs)
                pairs_done(b);
        free(l->objects);
        free(l->drives);
        free(l->blockdevs);
        pairs_done(&l->machine);
        pairs_done(&l->smp);
        pairs_done(&l->memory);
        pairs_done(&l->cpu_globals);
        free(l->cpu);
        free(l->accels);
        free(l->irqchip);
        strv_free(l->data_dirs);
        *l = (QemuLine) {};
}

static int set_text(char **to, const char *value) {
        free(*to);
        *to = strdup(value);
        return *to ? 0 : -ENOMEM;
}

/* --- machine ------------------------------------------------------------------------------------------------------------- */

static int merge_memory(QemuLine *l, const char *key, const char *value, char **reterr) {
        int r = effect_check(&qemu_memory_properties, key, l->assumed, reterr);

        return r < 0 ? r : pairs_set(&l->memory, key, value);
}

/* -machine's names for what -m has. */
static const char *memory_key(const char *key) {
        return streq(key, "memory.max-size")          ? "maxmem"
                        : streq(key, "memory.maxmem") ? key
                                                      : key + strlen("memory.");
}

static int merge_machine(QemuLine *l, Pairs *p, char **reterr) {
        pairs_dashify(p);
        FOREACH_ARRAY(i, p->items, p->n_items) {
                int r = effect_check_pair(&qemu_machine_properties, i, l->assumed, reterr);
                const char *rest;

                if (r < 0)
                        return r;
                rest = startswith(i->key, "smp.");
                if (rest)
                        r = pairs_set(&l->smp, rest, i->value);
                else if (startswith(i->key, "memory."))
                        r = merge_memory(l, memory_key(i->key), i->value, reterr);
                else
                        r = pairs_set(&l->machine, i->key, i->value);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Only the first KVM counts: QEMU takes the first accelerator that works. */
static int read_kvm(QemuLine *l, const Pairs *p, char **reterr) {
        FOREACH_ARRAY(i, p->items, p->n_items) {
                int r = effect_check_pair(&qemu_kvm_properties, i, l->assumed, reterr);

                if (r >= 0 && streq(i->key, "kernel-irqchip"))
                        r = set_text(&l->irqchip, i->value);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_accel(QemuLine *l, Pairs *p, char **reterr) {
        const char *name = pairs_get(p, "accel");
        char *s;
        int r = 0;

        if (!name)
                return 0;
        if (qemu_is_help(name))
                return error_set(reterr, -EINVAL, "QEMU prints help and ends");
        if (streq(name, "kvm") && !(l->accels && strstr(l->accels, "kvm")))
                r = read_kvm(l, p, reterr);
        if (r < 0)
                return r;
        if (asprintf(&s, "%s%s%s", l->accels ?: "", l->accels ? ":" : "", name) < 0)
                return -ENOMEM;
        free(l->accels);
        l->accels = s;
        return 0;
}

/* Options whose argument is a list, and the section of -readconfig that is the same. */
static const struct {
        const char *option, *section;
        PairsDialect dialect;
        const char *implied;
        bool json; /* QEMU reads JSON, too */
} lists[] = {
        { "machine", "machine", PAIRS_KEYVAL, "type", false },
        { "M", NULL, PAIRS_KEYVAL, "type", false },
        { "smp", "smp-opts", PAIRS_KEYVAL, "cpus", false },
        { "m", "memory", PAIRS_OPTS, "size", false },
        { "accel", "accel", PAIRS_OPTS, "accel", false },
        { "object", "object", PAIRS_OPTS, "qom-type", true },
        { "drive", "drive", PAIRS_OPTS, NULL, false },
        { "device", "device", PAIRS_OPTS, "driver", true },
};

static int merge_list(QemuLine *l, const char *option, const Pairs *from, char **reterr) {
        bool memory = streq(option, "m");

        FOREACH_ARRAY(i, from->items, from->n_items) {
                int r = memory ? merge_memory(l, i->key, i->value, reterr)
                               : pairs_set(&l->smp, i->key, i->value);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int take_list(QemuLine *l, const char *option, Pairs *p, char **reterr) {
        if (streq(option, "machine") || streq(option, "M"))
                return merge_machine(l, p, reterr);
        if (streq(option, "smp") || streq(option, "m"))
                return merge_list(l, option, p, reterr);
        if (streq(option, "accel"))
                return add_accel(l, p, reterr);
        if (streq(option, "object"))
                return qemu_add_object(l, p, reterr);
        return streq(option, "drive") ? qemu_add_drive(l, p, reterr) : qemu_add_device(l, p, reterr);
}

static int take_section(void *userdata, const char *group, const char *id, Pairs *items, char **reterr) {
        QemuLine *l = userdata;
        int r = effect_check(&qemu_config_sections, group, l->assumed, reterr);

        if (r != 1)
                return r < 0 ? r : 0;
        r = id ? pairs_set(items, "id", id) : 0;
        FOREACH_ARRAY(i, lists, r >= 0 ? ELEMENTSOF(lists) : 0)
                if (i->section && streq(i->section, group))
                        return take_list(l, i->option, items, reterr);
        if (r >= 0 && streq(group, "global")) {
                _cleanup_free_ char *text = NULL;

                r = pairs_text(items, &text);
                return r < 0 ? r : qemu_add_global(l, text, reterr);
        }
        return r;
}

int qemu_line_config(QemuLine *l, const char *path, char **reterr) {
        _cleanup_free_ char *place = foreign_path(l->place, path);

        if (!place)
                return -ENOMEM;
        if (l->configs++ >= CONFIGS_MAX)
                return error_set(reterr, -E2BIG, "more than %u configuration files", CONFIGS_MAX);
        return foreign_config_read(place, take_section, l, reterr);
}

static int take_option(QemuLine *l, const char *name, const char *value, char **reterr) {
        static const struct {
                const char *option, *property;
        } short_forms[] = {
                { "kernel", "kernel" },
                { "initrd", "initrd" },
                { "append", "append" },
                { "bios", "firmware" },
                { "shim", "shim" },
        };

        FOREACH_ARRAY(s, short_forms, ELEMENTSOF(short_forms))
                if (streq(name, s->option))
                        return pairs_set(&l->machine, s->property, value);
        FOREACH_ARRAY(i, lists, ELEMENTSOF(lists))
                if (streq(name, i->option)) {
                        _cleanup_(pairs_done) Pairs p = {};
                        int r = (i->json ? pairs_parse_any : pairs_parse)(
                                        &p, value, i->dialect, i->implied, reterr);

                        return r < 0 ? r : take_list(l, i->option, &p, reterr);
                }
        if (streq(name, "cpu"))
                return set_text(&l->cpu, value);
        if (streq(name, "L"))
                return strv_push(&l->data_dirs, value);
        if (streq(name, "enable-kvm") || streq(name, "no-kvm"))
                return pairs_set(&l->machine, "accel", streq(name, "no-kvm") ? "tcg" : "kvm");
        if (streq(name, "blockdev"))
                return qemu_add_blockdev(l, value, reterr);
        if (streq(name, "pflash"))
                return qemu_add_flash_file(l, value, reterr);
        if (streq(name, "global"))
                return qemu_add_global(l, value, reterr);
        if (streq(name, "set"))
                return qemu_check_set(l, value, reterr);
        if (streq(name, "readconfig"))
                return qemu_line_config(l, value, reterr);
        return error_set(reterr, -EINVAL, "-%s is known but not read", name);
}

/* The effect of an option: EffectTable's answer, switches included. */
static int option_effect(const QemuLine *l, const char *name, char **reterr) {
        if (qemu_option_argument(name) == 0)
                return effect_check(&qemu_switches, name, l->assumed, reterr);
        return effect_check(&qemu_options, name, l->assumed, reterr);
}

int qemu_line_read(QemuLine *l, char *const *argv, char **reterr) {
        l->program = argv[0];
        for (size_t i = 1; argv[i]; i++) {
                const char *name = startswith(argv[i], "--") ?: startswith(argv[i], "-");
                int r, argument;

                if (!name) /* a disk image */
                        continue;
                argument = qemu_option_argument(name);
                r = option_effect(l, name, reterr);
                if (r >= 0 && argument > 0 && !argv[i + 1])
                        return error_set(reterr, -EINVAL,
                                        "-%s has no value: the line is truncated, or QEMU refuses it", name);
                if (r == 1)
                        r = take_option(l, name, argument > 0 ? argv[i + 1] : NULL, reterr);
                if (r < 0)
                        return error_prefix(reterr, r, "%.60s%s%.60s", argv[i],
                                        argument > 0 && argv[i + 1] ? " " : "",
                                        argument > 0 && argv[i + 1] ? argv[i + 1] : "");
                i += argument > 0;
        }
        return 0;
}

/* --- the SEV object ------------------------------------------------------------------------------------------------------ */

int qemu_line_sev(const QemuLine *l, const QemuObject **ret, char **reterr) {
        const char *id = pairs_get(&l->machine, "confidential-guest-support"),
                   *old = pairs_get(&l->machine, "memory-encryption");
        const QemuObject *o = NULL;

        *ret = NULL;
        if (id && old && !streq(id, old))
                return error_set(reterr, -EINVAL,
                                "-machine names two objects, confidential-guest-support=%s and memory-encryption=%s",
                                id, old);
        id = id ?: old;
        if (!id)
                return 0;
        o = qemu_line_object(l, id);
        if (!o)
                return error_set(reterr, -EINVAL, "-machine names the object '%s', which no -object defines",
                                id);
        if (!streq(o->type, "sev-guest") && !streq(o->type, "sev-snp-guest") && !streq(o->type, "tdx-guest"))
                return error_set(reterr, -EINVAL,
                                "-machine names the object '%s' of the type %s, not sev-guest, sev-snp-guest or tdx-guest",
                                id, o->type);
        *ret = o;
        return 0;
}
