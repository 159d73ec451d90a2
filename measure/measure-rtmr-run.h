/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of a prediction share: for measure-rtmr-*.c alone. */

#include "measure-rtmr.h"

/* First release with a change. */
enum {
        EDK2_ACPI = 202302,
        EDK2_SEPARATOR_IN_RTMR1 = 202411,
        EDK2_PLAIN_KERNEL = 202502, /* reads the kernel as it is in the file, not as QEMU patched it */
        EDK2_FW_CFG = 202505,       /* fw_cfg files, SMBIOS tables, another menu */
        EDK2_INITRD_FIRST = 202508,
};

typedef struct RtmrRun {
        const RtmrBoot *boot;
        RtmrEvents *events;
        char **reterr;
} RtmrRun;

/* One event, by its digest or by what is hashed. */
_warn_unused_result_ int rtmr_add_digest(RtmrRun *run, unsigned rtmr, uint32_t type, const char *name,
                const uint8_t digest[static SHA384_SIZE]);
_warn_unused_result_ int rtmr_add(
                RtmrRun *run, unsigned rtmr, uint32_t type, const char *name, const void *p, size_t n);

/* What the host gives the firmware: measure-rtmr-host.c. */
_warn_unused_result_ int rtmr_add_items(RtmrRun *run);
_warn_unused_result_ int rtmr_add_acpi(RtmrRun *run);
_warn_unused_result_ int rtmr_add_smbios(RtmrRun *run);
