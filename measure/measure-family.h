/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Extrapolation: what a launch digest is made of before its vCPUs. From a family and without any file follows the digest for each
 * number of vCPUs and each CPU model.
 *
 *   SEV-ES   the state of SHA-256 after firmware and kernel hashes, then one VMSA page a vCPU
 *   SEV-SNP  the chain after the firmware's sections, then one VMSA record a vCPU (measure-snp.h)
 *
 * As JSON: {"technology", "vmsa", "reset-address", "features", and "seed" (SNP) or "state", "size", "tail" (SEV-ES)}. */

#include "crypto-sha256-state.h"
#include "json.h"
#include "measure-context.h"
#include "measure-snp.h"

/* More vCPUs than QEMU gives a machine; bounds the work that a family from outside can ask for. */
#define FAMILY_VCPUS_MAX 4096u

typedef struct LaunchFamily {
        CocoMode mode;
        VmmProfile profile;
        uint32_t reset_address; /* of application processors */
        uint64_t features;
        uint8_t seed[SHA384_SIZE]; /* SEV-SNP */
        Sha256State state;         /* SEV-ES */
} LaunchFamily;

/* Does a digest of this request have a family? Not without vCPUs, and not with an SVSM in front. */
bool measure_has_family(const MeasureRequest *q);
_warn_unused_result_ int measure_family(const MeasureContext *c, LaunchFamily *ret, char **reterr);

_warn_unused_result_ int launch_family_digest(
                const LaunchFamily *f, unsigned vcpus, uint32_t signature, LaunchDigest *ret);
/* Digests of first to first + n - 1 vCPUs, one after another into ret, each as long as the technology's digest. */
_warn_unused_result_ int launch_family_digests(
                const LaunchFamily *f, unsigned first, unsigned n, uint32_t signature, uint8_t *ret);

typedef struct FamilyMember {
        unsigned vcpus;
        uint32_t signature;
} FamilyMember;

/* The member with this digest, of up to so many vCPUs and all CPU models that are known here: 1 and *ret, or 0. first: the CPU signature that is tried
 * before the others, or 0. */
_warn_unused_result_ int launch_family_find(const LaunchFamily *f, const uint8_t *digest, unsigned vcpus_max,
                uint32_t first, FamilyMember *ret);

/* The VMSAs of the last family and CPU that were searched: families of one monitor have the same ones. {} at first. */
typedef struct FamilyVmsas {
        bool given;
        VmsaSpec spec;
        VmsaDigests digests;
} FamilyVmsas;

/* The same for one CPU signature, which is 0 where it does not enter the digest. */
_warn_unused_result_ int launch_family_find_cpu(const LaunchFamily *f, const uint8_t *digest,
                unsigned vcpus_max, uint32_t signature, FamilyVmsas *vmsas, FamilyMember *ret);

/* Does the CPU signature enter the digest? */
bool launch_family_has_signature(const LaunchFamily *f);

_warn_unused_result_ int launch_family_to_json(const LaunchFamily *f, Json **ret);
_warn_unused_result_ int launch_family_from_json(const Json *j, LaunchFamily *ret, char **reterr);
