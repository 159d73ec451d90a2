/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-launch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "foreign-qemu-table.h"
#include "strutil.h"

void foreign_launch_done(ForeignLaunch *l) {
        qemu_cpu_done(&l->cpu);
        qemu_firmware_done(&l->firmware);
        free(l->igvm);
        free(l->kernel);
        free(l->initrd);
        free(l->append);
        free(l->shim);
        *l = (ForeignLaunch) {};
}

static int read_boot(const QemuLine *line, ForeignLaunch *l) {
        const struct {
                const char *name;
                char **to;
        } files[] = {
                { "kernel", &l->kernel },
                { "initrd", &l->initrd },
                { "shim", &l->shim },
        };
        const char *append = pairs_get(&line->machine, "append");

        FOREACH_ARRAY(f, files, ELEMENTSOF(files)) {
                const char *path = pairs_get(&line->machine, f->name);

                if (!path)
                        continue;
                *f->to = foreign_path(line->place, path);
                if (!*f->to)
                        return -ENOMEM;
        }
        if (!append)
                return 0;
        l->append = strdup(append);
        return l->append ? 0 : -ENOMEM;
}

static int read_igvm(const QemuLine *line, ForeignLaunch *l, char **reterr) {
        const char *id = pairs_get(&line->machine, "igvm-cfg"), *file;
        const QemuObject *o = id ? qemu_line_object(line, id) : NULL;

        if (!id)
                return 0;
        if (!o || !streq(o->type, "igvm-cfg"))
                return error_set(reterr, -EINVAL,
                                "QEMU refuses this launch: -machine names the object '%s', which is not an igvm-cfg",
                                id);
        file = pairs_get(&o->properties, "file");
        if (!file)
                return error_set(reterr, -EINVAL,
                                "QEMU refuses this launch: the igvm-cfg object has no file");
        if (l->firmware.path)
                return error_set(reterr, -EINVAL, "QEMU refuses this launch: firmware beside an IGVM file");
        l->igvm = foreign_path(line->place, file);
        return l->igvm ? 0 : -ENOMEM;
}

/* Machine types whose firmware, kernel and vCPUs are those of a PC. */
static int check_type(const QemuLine *line, char **reterr) {
        const char *type = pairs_get(&line->machine, "type") ?: "pc";

        if (qemu_machine_max_cpus(type) > 0 || strv_contains(line->assumed, type))
                return 0;
        return error_set(reterr, -EINVAL,
                        "-machine %s: unknown machine type (pc and q35 types of QEMU up to 11.1 are known); if it launches as q35 does, add --assume-unmeasured=%s",
                        type, type);
}

int foreign_launch_read(const QemuLine *line, ForeignLaunch *ret, char **reterr) {
        _cleanup_(foreign_launch_done) ForeignLaunch l = {};
        const QemuObject *sev;
        int r = qemu_line_sev(line, &sev, reterr);

        if (r < 0)
                return r;
        if (!sev)
                return error_set(reterr, -ENODATA,
                                "QEMU's command line has no sev-guest, sev-snp-guest or tdx-guest object that -machine confidential-guest-support= names: "
                                "such a guest has no launch digest");
        r = check_type(line, reterr);
        if (r >= 0)
                r = streq(sev->type, coco_of(COCO_TDX)->qemu_object)
                                ? foreign_launch_tdx(line, sev, &l, reterr)
                                : foreign_launch_sev(line, sev, &l, reterr);
        if (r >= 0)
                r = foreign_launch_memory(line, &l, reterr);
        if (r >= 0)
                r = qemu_line_vcpus(line, &l.vcpus, reterr);
        if (r >= 0)
                r = qemu_line_cpu(line, &l.cpu, reterr);
        if (r >= 0)
                r = qemu_line_firmware(line, &l.firmware, reterr);
        if (r >= 0)
                r = read_boot(line, &l);
        if (r >= 0)
                r = read_igvm(line, &l, reterr);
        if (r >= 0)
                r = foreign_check_tdx(&l, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(l, (ForeignLaunch) {});
        return 0;
}

/* --- a line with only that ----------------------------------------------------------------------------------------------- */

/* Properties that are about the machine where the guest runs, and would fail elsewhere. */
static bool is_local(const char *key) {
        static const char *const names[] = { "sev-device", "session-file", "dh-cert-file", "handle",
                "id-block", "id-auth", "author-key-enabled", "qom-type", "id", "accel", "memory-backend",
                "pflash0", "pflash1", "kernel", "initrd", "append", "shim", "firmware", "type",
                "memory-encryption", "confidential-guest-support" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (streq(key, names[i]))
                        return true;
        return false;
}

/* A list that begins with `first`, and then everything that is not local. */
static int push_list(char ***argv, const char *option, const char *first, const Pairs *p) {
        _cleanup_(pairs_done) Pairs kept = {};
        _cleanup_free_ char *text = NULL;
        int r = 0;

        FOREACH_ARRAY(i, p->items, p->n_items)
                if (r >= 0 && !is_local(i->key))
                        r = pairs_set(&kept, i->key, i->value);
        if (r >= 0)
                r = pairs_text(&kept, &text);
        if (r >= 0)
                r = strv_push(argv, option);
        return r < 0 ? r : strv_pushf(argv, "%s%s%s", first, *text ? "," : "", text);
}

static int push_pair(char ***argv, const char *option, const char *value) {
        int r = value ? strv_push(argv, option) : 0;

        return r < 0 || !value ? r : strv_push(argv, value);
}

static int push_flash(char ***argv, unsigned unit, const char *file) {
        _cleanup_(pairs_done) Pairs p = {};
        _cleanup_free_ char *first = NULL;
        int r = pairs_set(&p, "file", file);

        if (asprintf(&first, "if=pflash,unit=%u,format=raw,readonly=on", unit) < 0) {
                first = NULL;
                return -ENOMEM;
        }
        return r < 0 ? r : push_list(argv, "-drive", first, &p);
}

/* As the line has them, so that a real QEMU reads them, too. */
static int push_vcpus(char ***argv, const QemuLine *line, const ForeignLaunch *l) {
        _cleanup_free_ char *smp = NULL;
        int r = pairs_text(&line->smp, &smp);

        if (r >= 0)
                r = strv_push(argv, "-smp");
        if (r >= 0)
                r = *smp && line->extra_cpus == 0 ? strv_push(argv, smp) : strv_pushf(argv, "%u", l->vcpus);
        if (r >= 0)
                r = push_pair(argv, "-cpu", line->cpu);
        FOREACH_ARRAY(g, line->cpu_globals.items, line->cpu_globals.n_items) {
                if (r >= 0)
                        r = strv_push(argv, "-global");
                if (r >= 0)
                        r = strv_pushf(argv, "%s=%s", strchr(g->key, ':') + 1, g->value);
        }
        return r;
}

int foreign_launch_argv(const QemuLine *line, const ForeignLaunch *l, char ***ret, char **reterr) {
        static const char *const fixed[] = { "-nodefaults", "-no-user-config", "-no-reboot", "-display",
                "none", "-vga", "none", "-accel", "kvm" };
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_free_ char *first = NULL, *object = NULL;
        const QemuObject *sev;
        int r = qemu_line_sev(line, &sev, reterr);

        if (r < 0)
                return r;
        if (coco_of(l->mode)->event_log)
                return error_set(reterr, -EOPNOTSUPP, "lines of TDs are not launched there");
        if (l->igvm || l->cpu.host)
                return error_set(reterr, -EOPNOTSUPP, "the simulated host has %s",
                                l->igvm ? "no IGVM" : "no other machine's CPU");
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(fixed); i++)
                r = strv_push(&argv, fixed[i]);
        if (asprintf(&first, "%s,confidential-guest-support=%s", pairs_get(&line->machine, "type") ?: "pc",
                            sev->id) < 0 ||
                        asprintf(&object, "%s,id=%s", sev->type, sev->id) < 0)
                return -ENOMEM;
        if (r >= 0)
                r = push_list(&argv, "-machine", first, &line->machine);
        if (r >= 0)
                r = push_list(&argv, "-object", object, &sev->properties);
        if (r >= 0)
                r = strv_push(&argv, "-m");
        if (r >= 0)
                r = strv_pushf(&argv, "%lluB", (unsigned long long) l->memory);
        if (r >= 0)
                r = push_vcpus(&argv, line, l);
        if (r >= 0)
                r = l->firmware.flash ? push_flash(&argv, 0, l->firmware.path)
                                      : push_pair(&argv, "-bios", l->firmware.path);
        if (r >= 0 && l->firmware.store)
                r = push_flash(&argv, 1, l->firmware.store);
        if (r >= 0)
                r = push_pair(&argv, "-kernel", l->kernel);
        if (r >= 0)
                r = push_pair(&argv, "-initrd", l->initrd);
        if (r >= 0)
                r = push_pair(&argv, "-append", l->append);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(argv);
        return 0;
}
