/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* COCONUT-SVSM as QEMU loaded it before IGVM: the firmware ends at 4 GiB, below it lies the variable store, below that the SVSM image,
 * whose own metadata count. All vCPUs start in the SVSM. */

#include "measure-launch.h"

/* Where the SVSM image lies; checks that both images are usable. */
_warn_unused_result_ int svsm_place(const FirmwareImage *firmware, uint64_t vars_size,
                const FirmwareImage *svsm, uint64_t *ret_gpa, char **reterr);
_warn_unused_result_ int svsm_digest(const FirmwareImage *firmware, const FirmwareImage *svsm, uint64_t gpa,
                const LaunchSpec *spec, LaunchTrace trace, void *userdata, LaunchDigest *ret, char **reterr);
