/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Launch digests that follow from a registration's hashes. */

#include "attestd-registration.h"
#include "attestd-service.h"
#include "measure-launch.h"

/* What a registration allows. */
typedef struct DigestVariants {
        unsigned first, last;                       /* vCPUs */
        uint32_t signatures[REGISTRATION_CPUS_MAX]; /* of CPU models */
        size_t n_signatures;
        VmmProfile profiles[2]; /* SEV-ES */
        size_t n_profiles;
} DigestVariants;

/* Adds the digests of all variants with this firmware to *reg; spec has mode and hashes. -EINVAL, -EOPNOTSUPP with a message. */
typedef int (*DigestsFunction)(const FirmwareImage *f, LaunchSpec *spec, const DigestVariants *v,
                Registration *reg, char **reterr);

_warn_unused_result_ int digests_sev(const FirmwareImage *f, LaunchSpec *spec, const DigestVariants *v,
                Registration *reg, char **reterr);
_warn_unused_result_ int digests_sev_es(const FirmwareImage *f, LaunchSpec *spec, const DigestVariants *v,
                Registration *reg, char **reterr);
_warn_unused_result_ int digests_snp(const FirmwareImage *f, LaunchSpec *spec, const DigestVariants *v,
                Registration *reg, char **reterr);

/* Of all firmware that the registration names. -EINVAL with a message. */
_warn_unused_result_ int service_digests(
                const Service *s, int64_t owner, Registration *reg, DigestsFunction digests, char **reterr);
