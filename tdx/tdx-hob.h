/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The TD HOB: the list of memory that QEMU writes for the firmware before the launch, and the first event of RTMR0.
 *
 * Theory of operation (QEMU hw/i386/tdvf-hob.c, PI specification volume 3, "HOB"): a hand-off information table, one resource
 * descriptor for each range of memory in ascending order, and an end entry, which the firmware does not hash. RAM is cut into ranges by
 * the TD_HOB and TEMP_MEM sections of the firmware, which are accepted already; all other RAM is not. */

#include "tdvf-metadata.h"

/* One range for each cut and its rest, in two pieces of RAM. */
#define TDX_HOB_RANGES_MAX (2u * TDVF_SECTIONS_MAX + 2u)
#define TDX_HOB_SIZE_MAX   (56u + 48u * TDX_HOB_RANGES_MAX + 8u)
/* More than any machine has, and less than what the sums here can hold. */
#define TDX_RAM_MAX (UINT64_C(1) << 46)

typedef struct TdxHob {
        uint8_t bytes[TDX_HOB_SIZE_MAX];
        size_t size;     /* as in the guest's memory */
        size_t measured; /* without the end entry */
} TdxHob;

/* `ram` in bytes: QEMU's -m of a q35 machine with its default max-ram-below-4g. -EINVAL with an error message. */
_warn_unused_result_ int tdx_hob_build(const TdvfInfo *info, uint64_t ram, TdxHob *ret, char **reterr);
