/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* KubeVirt's VirtualMachineInstance or VirtualMachine, as JSON or YAML, as a QEMU command line (kubevirt.io/api/core/v1;
 * pkg/virt-launcher/virtwrap/converter, 1.9). */

#include "foreign.h"
#include "json.h"

typedef struct KubevirtLine {
        char **argv;    /* owned */
        char **notices; /* owned */
} KubevirtLine;

void kubevirt_line_done(KubevirtLine *l);
/* -EINVAL with an error message. Firmware, kernel and initrd are those of o->given: the object names container images. */
_warn_unused_result_ int kubevirt_line_read(
                const Json *object, const ForeignOptions *o, KubevirtLine *ret, char **reterr);
