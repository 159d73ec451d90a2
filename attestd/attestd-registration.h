/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A registration: what the owner says about one VM or image (cvmspawn-attestation-protocol(7)). Everything that a launch is compared with
 * is named; what may be anything is said to be "any". A common part, and one for each kind of scheme. */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest-launch.h"
#include "coco.h"
#include "json.h"
#include "macro.h"
#include "secret.h"
#include "snp-policy.h"

#define REGISTRATION_ID_MAX 128u
#define REGISTRATION_DIGESTS_MAX                                                                            \
        256u /* vCPU counts times firmware versions; each costs one HMAC a validation */
#define REGISTRATION_CLOUDS_MAX    64u
#define REGISTRATION_CPUS_MAX      16u  /* models */
#define REGISTRATION_CPU_COUNT_MAX 512u /* KVM's limit is higher; digests are limited before */

typedef uint8_t Digest32[SEV_DIGEST_SIZE];
typedef uint8_t Digest48[48]; /* of SEV-SNP */

typedef struct DigestList {
        Digest32 *items; /* owned */
        size_t n_items;
} DigestList;

typedef struct RegistrationHash {
        bool given;
        Digest32 value;
} RegistrationHash;

typedef enum RegistrationKind {
        REGISTRATION_VM,
        REGISTRATION_IMAGE,
        _REGISTRATION_KIND_MAX,
        _REGISTRATION_KIND_INVALID = -EINVAL,
} RegistrationKind;

typedef enum OverLimit {
        OVER_LIMIT_REFUSE,
        OVER_LIMIT_HOLD, /* until the owner confirms */
        _OVER_LIMIT_MAX,
        _OVER_LIMIT_INVALID = -EINVAL,
} OverLimit;

typedef enum VmTypes {
        VM_TYPES_ANY,
        VM_TYPES_NEW,    /* KVM_SEV_INIT2 */
        VM_TYPES_LEGACY, /* KVM_SEV_ES_INIT */
        _VM_TYPES_MAX,
        _VM_TYPES_INVALID = -EINVAL,
} VmTypes;

/* SEV and SEV-ES. */
typedef struct RegistrationSev {
        DigestList digests;  /* of launches */
        DigestList computed; /* that follow from firmware and hashes */
        DigestList clouds;   /* SHA-256 of accepted OCA certificates */
        bool any_cloud;
        VmTypes vm_types;
        uint64_t min_api_major, min_api_minor, min_build;
} RegistrationSev;

/* SEV-SNP. */
typedef struct RegistrationSnp {
        SnpPolicy *policy;  /* owned: what a report must say, but for the report data */
        Digest48 *computed; /* owned */
        size_t n_computed;
        uint64_t guest_features;
} RegistrationSnp;

typedef struct Scheme Scheme;           /* attestd-scheme.h */
typedef struct TdPolicy TdPolicy;       /* td-policy.h */
typedef struct TdRegisters TdRegisters; /* td-registers.h */

/* Intel TDX. */
typedef struct RegistrationTdx {
        TdPolicy *policy;       /* owned: what a quote must say, but for registers and report data */
        TdRegisters *registers; /* owned: of accepted launches; those of the reference bundle come last */
        size_t n_registers, n_listed;
        uint64_t expires; /* of the reference bundle; 0: never */
} RegistrationTdx;

typedef struct Registration {
        CocoMode mode;        /* of its scheme; says which part at the end is used */
        const Scheme *scheme; /* weak; NULL: empty */
        RegistrationKind kind;
        uint64_t policy;
        bool allow_debug;
        DigestList firmware; /* hashes of files */
        RegistrationHash kernel, initrd, cmdline;
        uint64_t cpu_count, cpu_count_max;
        Json *cpu_model;                         /* owned: a name or a list, or NULL */
        uint64_t max_instances, instance_window; /* releases in so many seconds */
        OverLimit over_limit;
        uint64_t hold_seconds; /* how long a held launch waits for its owner */
        uint64_t secret_area_size;
        Json *secrets, *description; /* owned */
        union {
                RegistrationSev sev;
                RegistrationSnp snp;
                RegistrationTdx tdx;
        };
} Registration;

void registration_done(Registration *r);
/* [A-Za-z0-9._-], 1 to 128 characters, not beginning with a dot. */
bool registration_id_valid(const char *id);
static inline const char *registration_scheme(const Registration *r) {
        return coco_of(r->mode)->scheme;
}
/* True if the firmware's hash is the launch digest: SEV without kernel hashes. */
bool registration_firmware_suffices(const Registration *r);
/* The members without the secrets and with the computed digests, as text to store and to show; owned. */
_warn_unused_result_ int registration_document(const Json *j, const Registration *r, char **ret);

/* For the schemes. Reads the common members and those of `own` into *r, and checks the common ones. -EINVAL with a message. */
_warn_unused_result_ int registration_read(
                const Json *j, const JsField *own, size_t n_own, Registration *r, char **reterr);
/* For tables of fields: a list of SHA-256 to a DigestList, the value itself to a Json *. */
_warn_unused_result_ int registration_parse_digests(const Json *j, void *target, char **reterr);
_warn_unused_result_ int registration_keep(const Json *j, void *target, char **reterr);
/* What digests follow from hashes; has_digests: others are given. With per_vcpu each vCPU is measured. */
_warn_unused_result_ int registration_check_measured(
                const Registration *r, bool has_digests, bool per_vcpu, char **reterr);
/* -EINVAL with a message beyond `max`. */
_warn_unused_result_ int digest_list_add(DigestList *l, size_t max, const Digest32 digest, char **reterr);

/* The parts of each scheme: parse what was said (with secrets, or as it was stored, without), and the secrets in the form in which the guest
 * finds them: a table, or JSON. -EINVAL, -E2BIG (larger than the area) with a message. */
_warn_unused_result_ int registration_parse_sev(
                const Json *j, const Scheme *scheme, bool with_secrets, Registration *ret, char **reterr);
_warn_unused_result_ int registration_parse_snp(
                const Json *j, const Scheme *scheme, bool with_secrets, Registration *ret, char **reterr);
_warn_unused_result_ int registration_parse_tdx(
                const Json *j, const Scheme *scheme, bool with_secrets, Registration *ret, char **reterr);
void registration_done_sev(Registration *r);
void registration_done_snp(Registration *r);
void registration_done_tdx(Registration *r);
_warn_unused_result_ int registration_computed_sev(const Registration *r, Json *list);
_warn_unused_result_ int registration_computed_snp(const Registration *r, Json *list);
_warn_unused_result_ int registration_table_sev(const Registration *r, SecretBuf *ret, char **reterr);
_warn_unused_result_ int registration_table_snp(const Registration *r, SecretBuf *ret, char **reterr);
