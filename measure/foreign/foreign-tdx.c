/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The tdx-guest object, and what QEMU and KVM check of it (QEMU target/i386/kvm/tdx.c, qapi/qom.json; Linux arch/x86/kvm/vmx/tdx.c). Nothing of it
 * enters MRTD; its values are in the report. */

#include <errno.h>

#include "error.h"
#include "foreign-launch.h"
#include "foreign-qemu-table.h"
#include "strutil.h"

#define MR_SIZE 48u
#define REFUSES "QEMU refuses this launch: "

static int check_attributes(const Pairs *p, char **reterr) {
        const char *text = pairs_get(p, "attributes");
        const CocoPolicy *policy = &coco_of(COCO_TDX)->policy;
        unsigned long long bits = policy->initial;

        if (text && qemu_number(text, &bits) < 0)
                return error_set(reterr, -EINVAL, REFUSES "attributes=%s is not a number", text);
        if (bits & policy->clear)
                return error_set(reterr, -EINVAL, "0x%llx are not attributes of a TD: %s", bits,
                                policy->wrong);
        if (bits & policy->unlaunched)
                return error_set(reterr, -EINVAL,
                                "QEMU and KVM refuse this launch: they start no TD with the attributes 0x%llx",
                                bits & policy->unlaunched);
        return 0;
}

static int check_values(const Pairs *p, char **reterr) {
        static const char *const names[] = { "mrconfigid", "mrowner", "mrownerconfig" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_free_ uint8_t *data = NULL;
                int r = foreign_read_bytes(p, names[i], MR_SIZE, MR_SIZE, &data, reterr);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* What a TD must not have. */
static int check_machine(const QemuLine *line, char **reterr) {
        static const char *const off[] = { "smm", "pic" };
        const char *irqchip = line->irqchip ?: pairs_get(&line->machine, "kernel-irqchip");

        for (size_t i = 0; i < ELEMENTSOF(off); i++) {
                const char *value = pairs_get(&line->machine, off[i]);

                if (value && qemu_boolean(value) == 1)
                        return error_set(reterr, -EINVAL, REFUSES "%s=%s, which a TD does not support",
                                        off[i], value);
        }
        if (irqchip && !streq(irqchip, "split"))
                return error_set(
                                reterr, -EINVAL, REFUSES "kernel-irqchip=%s, but a TD needs split", irqchip);
        return 0;
}

int foreign_launch_tdx(const QemuLine *line, const QemuObject *td, ForeignLaunch *l, char **reterr) {
        int r = 0;

        FOREACH_ARRAY(i, td->properties.items, td->properties.n_items) {
                r = effect_check_pair(&qemu_tdx_properties, i, line->assumed, reterr);
                if (r < 0)
                        return r;
        }
        l->mode = COCO_TDX;
        r = check_attributes(&td->properties, reterr);
        if (r >= 0)
                r = check_values(&td->properties, reterr);
        if (r >= 0)
                r = foreign_check_accel(line, coco_of(l->mode)->label, reterr);
        return r < 0 ? r : check_machine(line, reterr);
}

int foreign_check_tdx(const ForeignLaunch *l, char **reterr) {
        if (!coco_of(l->mode)->cpu_of_host)
                return 0;
        if (!l->cpu.host)
                return error_set(reterr, -EINVAL,
                                REFUSES
                                "-cpu %s, but a TD has the CPU of the machine that runs it (-cpu host)",
                                l->cpu.name);
        if (l->igvm)
                return error_set(reterr, -EOPNOTSUPP,
                                "a TD that is described by an IGVM file is not supported");
        return 0;
}
