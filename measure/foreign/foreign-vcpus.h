/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How many vCPUs a QEMU command line starts, and what signature they have. */

#include <stdbool.h>
#include <stdint.h>

#include "foreign-qemu.h"

/* vCPUs at start; hot-pluggable ones have no VMSA yet. Missing levels of -smp are worked out as QEMU does since 6.2. */
_warn_unused_result_ int qemu_line_vcpus(const QemuLine *l, unsigned *ret, char **reterr);

typedef struct QemuCpu {
        char *name;         /* owned: the model */
        uint32_t signature; /* CPUID 1 EAX, unless `host` or `unknown` */
        bool host;          /* the machine's that runs the guest */
        bool unknown;       /* a model that is not in the table */
        bool changed;       /* family, model or stepping were given: the signature is not the model's */
} QemuCpu;

void qemu_cpu_done(QemuCpu *c);
_warn_unused_result_ int qemu_line_cpu(const QemuLine *l, QemuCpu *ret, char **reterr);
