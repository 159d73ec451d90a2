/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The launch digest of a guest that is described by an IGVM file, as QEMU loads it: everything comes from the file, in file order, the
 * vCPUs included; kernel, vCPU count and CPU model play no part.
 *
 *   SEV-SNP   the chain of measure-snp.h; pages without data are NORMAL pages of zeros; a parameter area is UNMEASURED, page by page
 *   SEV(-ES)  SHA-256 over page data and VMSAs
 */

#include "measure-launch.h"

typedef struct IgvmMeasurement {
        LaunchDigest digest;
        bool has_expected; /* the file carries an ID block */
        uint8_t expected[SHA384_SIZE];
        bool kvm_vmsa; /* exactly one VMSA, last, at KVM's address: what KVM can launch */
} IgvmMeasurement;

_warn_unused_result_ int igvm_measure(const uint8_t *data, size_t size, CocoMode mode, LaunchTrace trace,
                void *userdata, IgvmMeasurement *ret, char **reterr);
