/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One launch's digest from the firmware's beginnings and everything else that enters:
 *
 *   SEV       SHA-256( firmware | kernel hashes )
 *   SEV-ES    SHA-256( firmware | kernel hashes | VMSA 0 | VMSA 1 ... )
 *   SEV-SNP   chain( firmware, metadata sections, VMSAs ): measure-snp.h
 *   TDX       SHA-384( a record for each page, records and bytes of what is measured ): measure-tdx.h
 */

#include <stdbool.h>
#include <stdint.h>

#include "crypto-hash.h"
#include "measure-firmware.h"
#include "measure-hashes.h"
#include "measure-snp.h"
#include "plan.h"
#include "sev-vmsa.h"

/* More than any machine has; bounds the work of one row. */
#define VCPUS_MAX 65536u

typedef struct LaunchSpec {
        CocoMode mode;
        VmmProfile profile;
        unsigned vcpus; /* 0: no VMSA is measured */
        uint32_t signature;
        uint64_t features; /* SEV_FEATURES; with SEV-ES 0 but on hosts with DebugSwap (Linux 6.6 and 6.7: 0x20) */
        bool kernel_hashes;
        KernelHashes hashes; /* with kernel_hashes */
        bool two_pass;       /* TDX: TdxPlan */
} LaunchSpec;

typedef struct LaunchDigest {
        HashAlgorithm algorithm;
        uint8_t bytes[SHA384_SIZE];
        size_t size; /* 32 or 48 */
} LaunchDigest;

/* One step of a digest: a page of SNP, or a run of bytes of SEV and SEV-ES, whose digest is then of all bytes up to there. */
typedef struct LaunchStep {
        uint64_t index, gpa, size;
        const char *type, *source;
        const uint8_t *contents, *digest; /* borrowed for the call; n_digest bytes each */
        size_t n_digest;
} LaunchStep;

typedef int (*LaunchTrace)(void *userdata, const LaunchStep *step);

/* The image must have been prepared with FIRMWARE_SNP or FIRMWARE_SHA256, as the mode needs; with `trace` (may be NULL) it must have
 * its bytes. */
_warn_unused_result_ int launch_digest(const FirmwareImage *firmware, const LaunchSpec *spec,
                LaunchTrace trace, void *userdata, LaunchDigest *ret, char **reterr);

/* How the firmware is prepared for a mode: FIRMWARE_SNP, FIRMWARE_SHA256. */
unsigned launch_firmware_work(CocoMode mode);
/* Is the digest a chain of pages (snp_chain_init() and so on), and not a hash of all bytes? */
bool launch_is_chain(CocoMode mode);

/* Is it computed as a whole, since launches have no beginning in common? */
bool launch_is_whole(CocoMode mode);

/* The chain over the firmware alone, which can seed others: mode snp:ovmf-hash. */
_warn_unused_result_ int launch_ovmf_hash(const FirmwareImage *firmware, LaunchTrace trace, void *userdata,
                LaunchDigest *ret, char **reterr);

/* SEV-SNP up to the first VMSA, for tables: the chain and what the VMSAs contain. */
_warn_unused_result_ int launch_snp_start(const FirmwareImage *firmware, const LaunchSpec *spec,
                SnpChain *ret_chain, VmsaDigests *ret_vmsas, char **reterr);

_warn_unused_result_ int launch_snp_vmsas(
                const FirmwareImage *firmware, const LaunchSpec *spec, VmsaDigests *ret);

/* SEV and SEV-ES up to the first VMSA; *ret_hash is owned. And the VMSA pages of SEV-ES. */
_warn_unused_result_ int launch_sev_start(
                const FirmwareImage *firmware, const LaunchSpec *spec, Hash **ret_hash, char **reterr);
void launch_es_pages(const FirmwareImage *firmware, const LaunchSpec *spec,
                uint8_t ret_boot[static SEV_PAGE_SIZE], uint8_t ret_application[static SEV_PAGE_SIZE]);

/* A chain whose pages are shown as steps; the context must live as long. */
typedef struct LaunchTraceContext {
        LaunchTrace trace; /* NULL: not shown */
        void *userdata;
} LaunchTraceContext;

_warn_unused_result_ int launch_chain_init(SnpChain *c, LaunchTraceContext *context);

/* How QEMU starts the vCPUs of a plan. */
VmmProfile launch_profile_of_plan(const LaunchPlan *plan);

/* What a plan says, with the signature looked up: -EINVAL with an error message. */
_warn_unused_result_ int launch_spec_from_plan(const LaunchPlan *plan, LaunchSpec *ret, char **reterr);
