/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Objects, drives, block nodes, devices and -global of a QEMU command line. */

#include "foreign-qemu-device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "foreign-qemu-table.h"
#include "strutil.h"

/* Adds a zeroed element to the array that a pointer at `items` points to; NULL: out of memory. */
static void *grow(void *items, size_t *n, size_t size) {
        void *old;
        char *grown;

        memcpy(&old, items, sizeof(old));
        grown = reallocarray(old, *n + 1, size);
        if (!grown)
                return NULL;
        memcpy(items, &grown, sizeof(grown));
        return memset(grown + size * (*n)++, 0, size);
}

/* --- objects and drives -------------------------------------------------------------------------------------------------- */

const QemuObject *qemu_line_object(const QemuLine *l, const char *id) {
        FOREACH_ARRAY(o, l->objects, l->n_objects)
                if (streq(o->id, id))
                        return o;
        return NULL;
}

int qemu_add_object(QemuLine *l, Pairs *p, char **reterr) {
        const char *type = pairs_get(p, "qom-type"), *id = pairs_get(p, "id");
        QemuObject *o;
        int r;

        if (!type || !id)
                return error_set(reterr, -EINVAL, "QEMU requires a type and an id for each -object");
        r = effect_check(&qemu_object_types, type, l->assumed, reterr);
        if (r < 0)
                return r;
        if (qemu_line_object(l, id))
                return error_set(reterr, -EINVAL, "QEMU refuses this launch: two objects have the id '%s'",
                                id);
        o = grow(&l->objects, &l->n_objects, sizeof(*o));
        if (!o)
                return -ENOMEM;
        o->type = strdup(type);
        o->id = strdup(id);
        o->properties = TAKE_STRUCT(*p, (Pairs) {});
        return o->type && o->id ? 0 : -ENOMEM;
}

static bool unit_taken(const QemuLine *l, unsigned unit) {
        FOREACH_ARRAY(d, l->drives, l->n_drives)
                if (d->flash && d->unit == unit)
                        return true;
        return false;
}

/* Where a flash drive sits: there is one bus. */
static int read_unit(const Pairs *p, const char **ret_text, unsigned long long *ret, char **reterr) {
        const char *index = pairs_get(p, "index"), *bus = pairs_get(p, "bus"), *text = pairs_get(p, "unit");
        unsigned long long n = 0;

        if (index && (bus || text))
                return error_set(reterr, -EINVAL,
                                "QEMU refuses this launch: a drive has index, and bus or unit");
        if (bus && (qemu_number(bus, &n) < 0 || n > 0))
                return error_set(reterr, -EINVAL, "QEMU refuses this launch: flash drives have no bus %s",
                                bus);
        text = text ?: index;
        if (text && (qemu_number(text, ret) < 0 || *ret > 255))
                return error_set(reterr, -EINVAL, "the flash drive's unit '%s' is not a number", text);
        *ret_text = text;
        return 0;
}

int qemu_add_drive(QemuLine *l, Pairs *p, char **reterr) {
        const char *interface = pairs_get(p, "if"), *text;
        bool flash = interface && streq(interface, "pflash");
        unsigned long long unit = 0;
        QemuDrive *d;
        int r = flash ? read_unit(p, &text, &unit, reterr) : 0;

        if (r < 0)
                return r;
        if (flash && !text) /* the first that is free, in the order of the line */
                while (unit_taken(l, (unsigned) unit))
                        unit++;
        if (flash && unit_taken(l, (unsigned) unit))
                return error_set(reterr, -EINVAL,
                                "QEMU refuses this launch: two flash drives have the unit %llu", unit);
        d = grow(&l->drives, &l->n_drives, sizeof(*d));
        if (!d)
                return -ENOMEM;
        *d = (QemuDrive) {
                .properties = TAKE_STRUCT(*p, (Pairs) {}), .flash = flash, .unit = (unsigned) unit
        };
        return 0;
}

int qemu_add_flash_file(QemuLine *l, const char *file, char **reterr) {
        _cleanup_(pairs_done) Pairs p = {};
        int r = pairs_set(&p, "if", "pflash");

        if (r >= 0)
                r = pairs_set(&p, "file", file);
        if (r >= 0)
                r = pairs_set(&p, "format", "raw");
        return r < 0 ? r : qemu_add_drive(l, &p, reterr);
}

int qemu_add_blockdev(QemuLine *l, const char *text, char **reterr) {
        _cleanup_(pairs_done) Pairs p = {};
        Pairs *to;
        int r = pairs_parse_any(&p, text, PAIRS_KEYVAL, "driver", reterr);

        if (r < 0)
                return r;
        to = grow(&l->blockdevs, &l->n_blockdevs, sizeof(*to));
        if (!to)
                return -ENOMEM;
        *to = TAKE_STRUCT(p, (Pairs) {});
        return 0;
}

/* --- devices ------------------------------------------------------------------------------------------------------------- */

int qemu_add_device(QemuLine *l, const Pairs *p, char **reterr) {
        static const EffectRow rows[] = {
                { EFFECT_UNKNOWN, "loader guest-loader",
                                "it writes into the guest's memory before the launch is measured" },
        };
        static const EffectTable loaders = { "-device ", rows, ELEMENTSOF(rows) };
        const char *driver = pairs_get(p, "driver");
        int r;

        if (!driver)
                return error_set(reterr, -EINVAL, "QEMU requires a driver for each -device");
        if (qemu_is_help(driver))
                return error_set(reterr, -EINVAL, "QEMU prints help and ends");
        if (effect_find(&loaders, driver)) {
                r = effect_check(&loaders, driver, l->assumed, reterr);
                return r < 0 ? r : 0;
        }
        l->extra_cpus += endswith(driver, "-x86_64-cpu");
        return 0;
}

/* In order, each with its driver: which CPU it is for is known when the line ends. */
static int add_cpu_global(QemuLine *l, const char *driver, const char *property, const char *value) {
        _cleanup_free_ char *key = NULL;

        if (asprintf(&key, "%zu:%s.%s", l->cpu_globals.n_items, driver, property) < 0) {
                key = NULL;
                return -ENOMEM;
        }
        return pairs_set(&l->cpu_globals, key, value);
}

/* -global DRIVER.PROPERTY=VALUE, or the three as key=value. What is not about a CPU is about a device. */
int qemu_add_global(QemuLine *l, const char *text, char **reterr) {
        _cleanup_(pairs_done) Pairs p = {};
        _cleanup_free_ char *copy = strdup(text);
        const char *driver, *property, *value;
        char *dot, *equals;
        int r;

        if (!copy)
                return -ENOMEM;
        dot = strchr(copy, '.');
        equals = strchr(copy, '=');
        if (dot && equals && dot < equals) {
                *dot = *equals = 0;
                driver = copy;
                property = dot + 1;
                value = equals + 1;
        } else {
                r = pairs_parse(&p, text, PAIRS_OPTS, NULL, reterr);
                if (r < 0)
                        return r;
                driver = pairs_get(&p, "driver");
                property = pairs_get(&p, "property");
                value = pairs_get(&p, "value");
        }
        if (!driver || !property || !value)
                return error_set(reterr, -EINVAL, "-global %s has no driver, property and value", text);
        if ((streq(driver, "device") || streq(driver, "object")) && !strv_contains(l->assumed, "global"))
                return error_set(reterr, -EINVAL,
                                "-global %s: it is for every %s, CPUs among them, which QEMU refuses where one has no such property; "
                                "if it changes no measured byte, add --assume-unmeasured=global",
                                text, driver);
        if (!endswith(driver, "-x86_64-cpu") && !streq(driver, "x86_64-cpu") && !streq(driver, "cpu"))
                return 0;
        r = effect_check_pair(&qemu_cpu_properties,
                        &(Pair) { .key = (char *) property, .value = (char *) value }, l->assumed, reterr);
        return r != 1 ? MIN(r, 0) : add_cpu_global(l, driver, property, value);
}

/* -set GROUP.ID.PROPERTY=VALUE */
int qemu_check_set(const QemuLine *l, const char *text, char **reterr) {
        static const char *const harmless[] = { "device.", "netdev.", "chardev.", "audiodev.", "fsdev.",
                "rtc." };

        for (size_t i = 0; i < ELEMENTSOF(harmless); i++)
                if (startswith(text, harmless[i]))
                        return 0;
        if (strv_contains(l->assumed, "set"))
                return 0;
        return error_set(reterr, -EINVAL,
                        "it changes an option given elsewhere, which is not supported here; if it changes no measured byte, add --assume-unmeasured=set");
}
