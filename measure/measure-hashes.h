/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The table of kernel hashes that QEMU (kernel-hashes=on) puts into the guest's memory and the firmware enforces. */

#include <stdint.h>

#include "crypto-hash.h"
#include "sev-abi.h"

typedef struct KernelHashes {
        uint8_t cmdline[SHA256_SIZE]; /* of the command line with one trailing NUL */
        uint8_t initrd[SHA256_SIZE];  /* no initrd: of nothing */
        uint8_t kernel[SHA256_SIZE];
} KernelHashes;

void kernel_hashes_table(const KernelHashes *hashes, uint8_t ret[static SEV_HASH_TABLE_SIZE]);
