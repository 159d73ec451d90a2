/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Memory, and what the guest does: a job, a shell, a reboot. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config-handlers.h"
#include "error.h"
#include "strutil.h"

#define RAM_MIN       (UINT64_C(16) << 20) /* less boots nothing */
#define RAM_MAX       (UINT64_C(64) << 40)
#define RAM_SLOTS_MAX 256u /* ACPI_MAX_RAM_SLOTS of QEMU */

/* SIZE[:MAX[:SLOTS]], as systemd-vmspawn has it. */
int config_handle_ram(void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        _cleanup_strv_free_ char **parts = NULL;
        VmConfig *c = userdata;
        uint64_t size, max = 0;
        unsigned slots = 0;
        int r = strv_split(value, ':', &parts);

        if (r < 0)
                return r;
        if (strv_length(parts) > 3)
                return error_set(reterr, -EINVAL, "expected SIZE[:MAX[:SLOTS]], not '%s'", value);
        if (parse_size(parts[0], &size) < 0 || size < RAM_MIN || size > RAM_MAX)
                return error_set(reterr, -EINVAL, "expected a size from 16M to 64T, such as 2G, not '%s'",
                                parts[0]);
        if (parts[1]) {
                if (parse_size(parts[1], &max) < 0 || max <= size || max > RAM_MAX)
                        return error_set(reterr, -EINVAL,
                                        "expected a maximum over %s and at most 64T, not '%s'", parts[0],
                                        parts[1]);
                slots = 1;
        }
        if (parts[1] && parts[2] &&
                        (parse_unsigned(parts[2], &slots) < 0 || slots < 1 || slots > RAM_SLOTS_MAX))
                return error_set(reterr, -EINVAL, "expected 1 to %u slots, not '%s'", RAM_SLOTS_MAX,
                                parts[2]);
        c->ram = size;
        c->ram_max = max;
        c->ram_slots = slots;
        return 0;
}

int config_handle_run(void *userdata, const OptionRow *row, const char *value, char **reterr) {
        if (((VmConfig *) userdata)->shell)
                return error_set(reterr, -EINVAL, "excludes --shell: use one of them");
        return option_set_string(userdata, row, value, reterr);
}

/* A command of --run= like any other, so that the same options give the same digest: nothing of this terminal is in it. The last console
 * is the one that the kernel calls /dev/console, but a session cannot have that as its terminal. */
int config_handle_shell(
                void *userdata, _unused_ const OptionRow *row, _unused_ const char *value, char **reterr) {
        static const char command[] = "cd /; exec /bin/sh -i";
        VmConfig *c = userdata;

        if (c->run && !c->shell)
                return error_set(reterr, -EINVAL, "excludes --run=: use one of them");
        free(c->run);
        c->run = strdup(command);
        c->shell = true;
        return c->run ? 0 : -ENOMEM;
}

int config_handle_reboot(void *userdata, _unused_ const OptionRow *row, const char *value, char **reterr) {
        if (!streq(value, "exit") && !streq(value, "reset"))
                return error_set(reterr, -EINVAL, "expected exit or reset, not '%s'", value);
        ((VmConfig *) userdata)->reset = streq(value, "reset");
        return 0;
}
