/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a QEMU command line launches: everything that enters the digest, and what QEMU checks before it starts a guest. */

#include <stdbool.h>
#include <stdint.h>

#include "foreign-firmware.h"
#include "foreign-qemu.h"
#include "foreign-vcpus.h"
#include "plan.h"

typedef struct ForeignLaunch {
        CocoMode mode;
        bool legacy_vm_type;            /* SEV-ES: KVM_SEV_ES_INIT, another VMSA */
        uint64_t features, es_features; /* SEV_FEATURES */
        bool kernel_hashes;
        unsigned vcpus;
        QemuCpu cpu;
        QemuFirmware firmware;
        char *igvm; /* owned: path, or NULL */
        char *kernel, *initrd,
                        *append;   /* owned: as they stand on the line, paths to be opened here; or NULL */
        char *shim;                /* owned: never measured */
        uint64_t memory, below_4g; /* bytes; below_4g: of them under 4 GiB */
        uint64_t max_flash;        /* bytes of all flash together */
        bool has_id_block;
        uint8_t id_block_digest[48]; /* what the ID block on the line expects */
} ForeignLaunch;

void foreign_launch_done(ForeignLaunch *l);

/* -EINVAL with an error message; -ENODATA without a confidential guest. */
_warn_unused_result_ int foreign_launch_read(const QemuLine *line, ForeignLaunch *ret, char **reterr);
/* Accelerator: SEV and TDX need KVM. In foreign-sev.c. */
_warn_unused_result_ int foreign_check_accel(const QemuLine *line, const char *label, char **reterr);
/* The properties of the SEV object, into *l: in foreign-sev.c. */
_warn_unused_result_ int foreign_launch_sev(
                const QemuLine *line, const QemuObject *sev, ForeignLaunch *l, char **reterr);
/* The same of a tdx-guest object: in foreign-tdx.c. */
_warn_unused_result_ int foreign_launch_tdx(
                const QemuLine *line, const QemuObject *td, ForeignLaunch *l, char **reterr);
/* What a TD does not have, when all is read; 0 for others. */
_warn_unused_result_ int foreign_check_tdx(const ForeignLaunch *l, char **reterr);
/* Base64 with so many bytes: *ret is owned, NULL where there is none. In foreign-sev.c. */
_warn_unused_result_ int foreign_read_bytes(
                const Pairs *p, const char *name, size_t min, size_t max, uint8_t **ret, char **reterr);
/* Size of memory and how much of it lies below 4 GiB: in foreign-memory.c. */
_warn_unused_result_ int foreign_launch_memory(const QemuLine *line, ForeignLaunch *l, char **reterr);
/* A line for a real QEMU on a simulated host, with nothing on it but what enters the digest: *ret is owned. */
_warn_unused_result_ int foreign_launch_argv(
                const QemuLine *line, const ForeignLaunch *l, char ***ret, char **reterr);
