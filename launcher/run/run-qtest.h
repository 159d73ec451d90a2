/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A QEMU whose machine is there and does not run, over -qtest: its PCI devices are placed as edk2 places them, and its fw_cfg files are
 * read. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

typedef struct Qtest {
        int in, out;       /* weak: of QEMU */
        uint64_t deadline; /* CLOCK_MONOTONIC, of all that is asked */
        char *line;        /* owned: the last answer */
        size_t n, size;    /* of what was read, of the buffer */
        size_t used;       /* bytes of it that were the last answer */
} Qtest;

void qtest_done(Qtest *q);

/* What edk2 does before it reads the tables, as far as they depend on it: configuration space in memory, ports of power management, 64-bit
 * BARs and windows of bridges above memory. */
_warn_unused_result_ int qtest_place_devices(Qtest *q, char **reterr);

/* A file of fw_cfg; owned. -ENOENT: this QEMU has no such file. */
_warn_unused_result_ int qtest_read_file(
                Qtest *q, const char *name, uint8_t **ret, size_t *ret_size, char **reterr);
