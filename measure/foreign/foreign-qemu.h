/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A QEMU command line taken apart: what of it enters the launch digest, with the meaning that QEMU 10.0 gives it. */

#include <stdbool.h>
#include <stddef.h>

#include "foreign-pairs.h"
#include "foreign-place.h"

typedef struct QemuObject {
        char *id, *type; /* owned */
        Pairs properties;
} QemuObject;

/* A -drive: flash of a unit, or one that pflash0= can name by its id. */
typedef struct QemuDrive {
        Pairs properties;
        bool flash;
        unsigned unit; /* of a flash */
} QemuDrive;

typedef struct QemuLine {
        const char *program; /* borrowed */
        const ForeignPlace *place;
        char *const *assumed; /* borrowed: --assume-unmeasured */
        Pairs machine; /* all -machine merged; with -kernel, -initrd, -append, -bios and -shim, which are short forms */
        Pairs smp, memory;   /* all -smp and -m merged */
        Pairs cpu_globals;   /* family, model, stepping by -global */
        char *cpu;           /* owned; the last -cpu */
        char *accels;        /* owned; by -accel: "kvm:tcg", in the order in which they are tried, or NULL */
        char *irqchip;       /* owned; -accel kvm,kernel-irqchip=, or NULL */
        QemuObject *objects; /* owned */
        size_t n_objects;
        QemuDrive *drives; /* owned */
        size_t n_drives;
        Pairs *blockdevs; /* owned */
        size_t n_blockdevs;
        char **data_dirs;    /* owned: -L */
        unsigned extra_cpus; /* -device ...-x86_64-cpu */
        unsigned configs;    /* how many -readconfig were read: they may be nested by mistake only */
} QemuLine;

void qemu_line_done(QemuLine *l);

/* argv[0] is the program. -EINVAL with an error message that names what is not understood. */
_warn_unused_result_ int qemu_line_read(QemuLine *l, char *const *argv, char **reterr);
/* A file for -readconfig. */
_warn_unused_result_ int qemu_line_config(QemuLine *l, const char *path, char **reterr);

const QemuObject *qemu_line_object(const QemuLine *l, const char *id);
/* The object that -machine names for confidential guests; NULL: none. */
_warn_unused_result_ int qemu_line_sev(const QemuLine *l, const QemuObject **ret, char **reterr);
