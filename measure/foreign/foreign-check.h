/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files of a launch as QEMU checks them before it starts a guest (QEMU hw/i386/x86-common.c, pc_sysfw.c): what it refuses has no
 * launch digest. */

#include <stdbool.h>
#include <stdint.h>

#include "firmware-ovmf.h"
#include "macro.h"

typedef struct ForeignFiles {
        const char *firmware; /* path, or NULL */
        const char *store;    /* pflash unit 1, or NULL */
        bool flash, probed;   /* the firmware is a flash drive; its format is detected by content */
        uint64_t max_flash;
        const char *kernel, *initrd, *append; /* NULL: none */
        bool has_initrd_size;                 /* the initrd is not a file yet, and has this size */
        uint64_t initrd_size;
        uint64_t below_4g; /* bytes of memory under 4 GiB */
        bool hashes;       /* kernel, initrd and words are measured */
        bool snp;          /* private memory is KVM's: SEV-SNP, TDX */
        const char *label; /* of the technology; NULL: SEV-SNP */
} ForeignFiles;

/* How much of the memory of a machine type lies under 4 GiB; `most` is max-ram-below-4g, or 0. */
uint64_t foreign_below_4g(const char *type, uint64_t memory, uint64_t most);

/* 0, or -EINVAL with an error message. *ret_notice (owned, may stay NULL): something strange that QEMU launches all the same. */
_warn_unused_result_ int foreign_check_files(const ForeignFiles *f, char **ret_notice, char **reterr);

/* Pages that the firmware of a SEV-SNP guest names have to lie in memory. */
_warn_unused_result_ int foreign_check_memory(const OvmfInfo *info, uint64_t below_4g, char **reterr);
