/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the service manager and, by D-Bus, systemd-machined are asked: synchronously, in a child (run-machine.c). */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config.h"

/* Makes the scope unit with QEMU in it, and waits until it runs. A scope of the name that is going away is waited for. -ESRCH: QEMU ended
 * meanwhile, and the unit, which the service manager could take for a running one for ever, was stopped. */
_warn_unused_result_ int scope_start(
                const VmConfig *config, bool user, pid_t qemu, uint64_t deadline, char **reterr);

typedef struct BusRegistration {
        const char *name, *root; /* weak; no root: NULL */
        const uint8_t *id;       /* weak, 16 bytes; NULL: none */
        pid_t leader;
        int interface; /* its index; 0: none */
} BusRegistration;

/* RegisterMachineWithNetwork(): what every machined has, without control address and ssh. -ESRCH: no machined. */
_warn_unused_result_ int machine_register_by_bus(
                const BusRegistration *r, bool user, uint64_t deadline, char **reterr);
