/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A registration: what the owner says about one VM or image (cvmspawn-attestation-protocol(7)). Everything a launch is compared with is
 * named; what may be anything is said to be "any". */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest-launch.h"
#include "json.h"
#include "macro.h"
#include "secret.h"
#include "snp-policy.h"

#define REGISTRATION_ID_MAX 128u
#define REGISTRATION_DIGESTS_MAX                                                                            \
        256u /* vCPU counts times firmware versions; each costs one HMAC a validation */
#define REGISTRATION_CLOUDS_MAX 64u

typedef uint8_t Digest32[SEV_DIGEST_SIZE];
typedef uint8_t Digest48[48]; /* of SEV-SNP */

typedef struct DigestList {
        Digest32 *items; /* owned */
        size_t n_items;
} DigestList;

#define REGISTRATION_CPUS_MAX      16u  /* models */
#define REGISTRATION_CPU_COUNT_MAX 512u /* KVM's limit is higher; digests are limited before */

typedef struct RegistrationHash {
        bool given;
        Digest32 value;
} RegistrationHash;

typedef struct Registration {
        char *scheme, *kind; /* owned */
        uint64_t policy;
        bool allow_debug;
        DigestList digests;     /* of launches */
        DigestList firmware;    /* hashes of files */
        DigestList computed;    /* launch digests that follow from firmware and what stands below */
        Digest48 *computed_snp; /* owned; the same for amd-sev-snp */
        size_t n_computed_snp;
        RegistrationHash kernel, initrd, cmdline;
        uint64_t cpu_count, cpu_count_max, guest_features;
        Json *cpu_model;   /* owned: a name or a list, or NULL */
        char *vm_type;     /* owned: "new", "legacy", "any" */
        DigestList clouds; /* SHA-256 of accepted OCA certificates */
        bool any_cloud;
        uint64_t max_instances, instance_window; /* releases in so many seconds */
        char *over_limit;                        /* owned: what happens to more, "refuse" or "hold" */
        uint64_t hold_seconds;                   /* how long a held launch waits for its owner */
        uint64_t min_api_major, min_api_minor, min_build;
        uint64_t secret_area_size;
        SnpPolicy *snp; /* owned; amd-sev-snp: what a report must say, but for the report data */
        Json *secrets, *description; /* owned */
} Registration;

void registration_done(Registration *r);
/* [A-Za-z0-9._-], 1 to 128 characters, not beginning with a dot. */
bool registration_id_valid(const char *id);
/* Reads and checks the members, of a request (with secrets) or of what was stored (without). -EINVAL with a sentence. */
_warn_unused_result_ int registration_parse(
                const Json *j, bool with_secrets, Registration *ret, char **reterr);
/* Its parts for amd-sev-snp (attestd-registration-snp.c). */
_warn_unused_result_ int registration_parse_snp(
                const Json *j, bool with_secrets, Registration *ret, char **reterr);
_warn_unused_result_ int registration_table_snp(const Registration *r, SecretBuf *ret, char **reterr);
/* Instances and waiting, the same for all schemes. */
_warn_unused_result_ int registration_check_limits(Registration *r, const Json *j, char **reterr);
/* For tables of fields: a list of SHA-256 to a DigestList, a SHA-256 to a RegistrationHash. */
_warn_unused_result_ int registration_parse_digests(const Json *j, void *target, char **reterr);
_warn_unused_result_ int registration_parse_hash(const Json *j, void *target, char **reterr);
/* What digests follow from hashes; has_digests: others are given. With per_vcpu each vCPU is measured. */
_warn_unused_result_ int registration_check_measured(
                const Registration *r, bool has_digests, bool per_vcpu, char **reterr);
bool registration_is_es(const Registration *r);
/* True if the firmware's hash is the launch digest: SEV without kernel hashes. */
bool registration_firmware_suffices(const Registration *r);
/* -EINVAL with a sentence beyond `max`. */
_warn_unused_result_ int digest_list_add(DigestList *l, size_t max, const Digest32 digest, char **reterr);
/* The members without the secrets and with the computed digests, as text to store and to show; owned. */
_warn_unused_result_ int registration_document(const Json *j, const Registration *r, char **ret);
/* The table that the guest will find; for amd-sev-snp the JSON that is sealed to it. -EINVAL, -E2BIG (larger than the area) with a sentence. */
_warn_unused_result_ int registration_table(const Registration *r, SecretBuf *ret, char **reterr);
