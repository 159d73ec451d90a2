/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* --disk=: a raw disk image that the firmware of a TD boots. Only what enters RTMR1 and RTMR2 is read: the partition table and one file. */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "plan.h"

typedef struct TdDisk {
        int fd;           /* owned: a copy of the boot loader, or -EBADF */
        PlanInput loader; /* owned; its part is in fd */
        uint8_t *table;   /* owned: UEFI_GPT_DATA, `size` bytes */
        size_t size;
} TdDisk;

#define TD_DISK_NONE ((TdDisk) { .fd = -EBADF })

void td_disk_done(TdDisk *d);
/* -EOPNOTSUPP, -ENOENT, -EBADMSG and others with an error message. */
_warn_unused_result_ int td_disk_read(const char *path, TdDisk *ret, char **reterr);
