/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The guest's memory: its size does not enter the digest, but an initrd has to fit (QEMU hw/i386/pc_q35.c, pc_piix.c). */

#include <errno.h>
#include <string.h>

#include "error.h"
#include "foreign-check.h"
#include "foreign-launch.h"
#include "strutil.h"

#define MIB            (UINT64_C(1) << 20)
#define DEFAULT_MEMORY (128 * MIB)
#define MAX_FLASH      (8 * MIB)
#define SLOTS_MAX      256u /* of ACPI */

#define REFUSES "QEMU refuses this launch: "

static int read_size(const char *what, const char *text, uint64_t unit, uint64_t fallback, uint64_t *ret,
                char **reterr) {
        unsigned long long n = fallback;

        if (text && qemu_size(text, unit, &n) < 0)
                return error_set(reterr, -EINVAL, REFUSES "%s '%s' is not a size", what, text);
        *ret = n;
        return 0;
}

/* The size of the memory backend that -machine names; 0: there is none. */
static int backend_size(const QemuLine *line, uint64_t *ret, char **reterr) {
        const char *id = pairs_get(&line->machine, "memory-backend");
        const QemuObject *o = id ? qemu_line_object(line, id) : NULL;

        *ret = 0;
        if (!id)
                return 0;
        if (!o || !startswith(o->type, "memory-backend-"))
                return error_set(reterr, -EINVAL,
                                REFUSES "-machine names the memory backend '%s', which no -object defines",
                                id);
        if (!pairs_get(&o->properties, "size"))
                return error_set(reterr, -EINVAL, REFUSES "the memory backend '%s' has no size", id);
        return read_size("a memory backend's size", pairs_get(&o->properties, "size"), 1, 0, ret, reterr);
}

/* Memory that can be plugged in later. */
static int check_slots(const QemuLine *line, uint64_t memory, char **reterr) {
        const char *most = pairs_get(&line->memory, "maxmem"), *text = pairs_get(&line->memory, "slots");
        unsigned long long slots = 0;
        uint64_t max;
        int r = read_size("-m's maxmem", most, 1, memory, &max, reterr);

        if (r < 0)
                return r;
        if (text && (qemu_number(text, &slots) < 0 || slots > SLOTS_MAX))
                return error_set(reterr, -EINVAL, REFUSES "-m's slots=%s is not a number up to %u", text,
                                SLOTS_MAX);
        if (text && !most)
                return error_set(reterr, -EINVAL, REFUSES "-m has slots, but no maxmem");
        if (max < memory)
                return error_set(reterr, -EINVAL, REFUSES "-m's maxmem is less than its size");
        if (slots > 0 && max == memory)
                return error_set(reterr, -EINVAL, REFUSES "-m has slots, but maxmem is its size");
        return 0;
}

int foreign_launch_memory(const QemuLine *line, ForeignLaunch *l, char **reterr) {
        const char *type = pairs_get(&line->machine, "type") ?: "pc",
                   *size = pairs_get(&line->memory, "size");
        uint64_t most, backend;
        int r = backend_size(line, &backend, reterr);

        if (r >= 0)
                r = read_size("-m", size, MIB, backend ?: DEFAULT_MEMORY, &l->memory, reterr);
        if (r >= 0)
                r = read_size("max-ram-below-4g", pairs_get(&line->machine, "max-ram-below-4g"), 1, 0, &most,
                                reterr);
        if (r >= 0)
                r = read_size("max-fw-size", pairs_get(&line->machine, "max-fw-size"), 1, MAX_FLASH,
                                &l->max_flash, reterr);
        if (r < 0)
                return r;
        if (l->memory == 0)
                l->memory = backend ?: DEFAULT_MEMORY;
        if (backend > 0 && backend != l->memory)
                return error_set(reterr, -EINVAL,
                                REFUSES "the memory backend has %llu bytes, but -m says %llu",
                                (unsigned long long) backend, (unsigned long long) l->memory);
        l->below_4g = foreign_below_4g(type, l->memory, most);
        return check_slots(line, l->memory, reterr);
}
