/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A reference bundle: what a relying party needs to know of launches, in one canonical JSON document (docs/refs.schema.json). Each launch
 * has its inputs by name and SHA-256, its digests by CPU and number of vCPUs, and for SEV-ES and SEV-SNP the family that all
 * other digests follow from. Unknown members are refused: a bundle says everything that its digests depend on. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coco.h"
#include "json.h"
#include "macro.h"
#include "measure-family.h"
#include "snp-id-block.h"
#include "snp-tcb.h"
#include "td-host-credentials.h"

#define REFS_FORMAT     "cvmspawn-refs-v1"
#define REFS_MEDIA_TYPE "application/vnd.cvmspawn.refs+json"
/* A bundle as the predicate of an in-toto statement (in-toto attestation framework, Statement v1), and the envelope of one. */
#define REFS_STATEMENT_TYPE     "https://in-toto.io/Statement/v1"
#define REFS_PREDICATE_TYPE     "tag:cvmspawn,2026:reference-bundle/v1"
#define REFS_STATEMENT_ENVELOPE "application/vnd.in-toto+json"
#define REFS_SIZE_MAX           (64u * 1024u * 1024u)
#define REFS_LAUNCHES_MAX       65536u
#define REFS_ROWS_MAX           1000000u
#define REFS_FAMILY_MAX         512u /* vCPUs that a family covers, unless the bundle says less */

/* Digests of a launch for one CPU, for vcpus, vcpus + 1, vcpus + 2 ... vCPUs. */
typedef struct RefsRun {
        char *model;        /* owned; NULL: not known, or without a meaning */
        uint64_t signature; /* CPUID 1 EAX; with has_signature */
        unsigned vcpus;     /* 0: the vCPUs do not enter the digest */
        bool has_signature;
        uint8_t *digests;              /* owned: n times the launch's digest_size */
        SnpIdSignature *id_signatures; /* owned: n of them, or NULL: no ID blocks */
        size_t n;
} RefsRun;

typedef struct RefsLaunch {
        char *name; /* owned, or NULL */
        CocoMode mode;
        size_t digest_size;
        Json *inputs; /* owned: {"firmware", "kernel", "initrd", "cmdline": {"sha256", "size", "parts": [{"name", "sha256", "size"}]}} */
        Json *registers; /* owned, or NULL: of a TD, {"rtmr0", "rtmr1", "rtmr2"} as far as they are known, in hex */
        TdHostCredentials host_credentials; /* of a TD */
        Json *hashes; /* owned, or NULL: {"kernel", "initrd", "cmdline"}, as the table of kernel hashes has them */
        char *vmm; /* owned, or NULL: the profile of the monitor */
        uint64_t features;
        bool has_features, has_family;
        LaunchFamily family;
        unsigned family_vcpus; /* what the family covers */
        RefsRun *runs;         /* owned */
        size_t n_runs;
} RefsLaunch;

typedef struct RefsPlatform {
        bool has_smt, smt, has_tsme, tsme;
} RefsPlatform;

/* What all ID blocks of a bundle have in common (refs-id.h). Their policy is the bundle's guest policy. */
typedef struct RefsId {
        bool given, has_author;
        SnpIdKey key, author;
        SnpIdSignature author_signature; /* over the key */
        uint8_t family_id[16], image_id[16];
        uint32_t svn;
} RefsId;

typedef struct RefsCut RefsCut;

typedef struct RefsBundle {
        char *name; /* owned, or NULL */
        uint64_t sequence;
        uint64_t issued, expires; /* seconds since 1970; expires 0: never */
        Json *generator;          /* owned */
        uint64_t guest_policy;    /* of SNP launches */
        bool has_guest_policy;
        RefsPlatform platform;
        RefsId id;
        bool has_tcb[_SNP_GENERATION_MAX];
        SnpTcb tcb[_SNP_GENERATION_MAX]; /* the least REPORTED_TCB */
        Json *learned;                   /* owned, or NULL: what floors were taken from */
        RefsLaunch *launches;            /* owned */
        size_t n_launches, n_rows;
        RefsCut *cut; /* weak; while it is read only */
} RefsBundle;

void refs_bundle_done(RefsBundle *b);
void refs_launch_done(RefsLaunch *l);

/* The SHA-256 of an input, in hex, weak: of its file, or of the table of kernel hashes where a launch was measured from hashes; else NULL. */
const char *refs_launch_sha256(const RefsLaunch *l, const char *input);

bool refs_is_bundle(const Json *j);
/* -EINVAL and -EBADMSG with an error message that names the member. */
_warn_unused_result_ int refs_bundle_parse(const char *text, size_t size, RefsBundle *ret, char **reterr);
/* The same of a value that was parsed already. */
_warn_unused_result_ int refs_bundle_from_json(const Json *j, RefsBundle *ret, char **reterr);
_warn_unused_result_ int refs_bundle_json(const RefsBundle *b, Json **ret);
/* The canonical bytes: keys sorted, no blanks, a newline at the end. Owned. */
_warn_unused_result_ int refs_bundle_text(const RefsBundle *b, char **ret);

/* Every row of a launch with a family has the digest that the family gives: 0, or -EBADMSG with an error message that names the row. */
_warn_unused_result_ int refs_bundle_check_families(const RefsBundle *b, char **reterr);

/* Calls row for each digest of the bundle. */
typedef int (*RefsRowFunction)(
                void *userdata, const RefsLaunch *l, const RefsRun *run, size_t i, const uint8_t *digest);
_warn_unused_result_ int refs_each_row(const RefsBundle *b, RefsRowFunction row, void *userdata);

/* Where a digest is in a bundle. */
typedef struct RefsMatch {
        const RefsLaunch *launch; /* weak */
        const RefsRun *run;       /* weak; NULL: a member of the family that has no row */
        unsigned vcpus;
        uint64_t signature;
        bool has_signature;
        bool partial; /* of a digest that was not found: the families have too many members to try all of them */
} RefsMatch;

/* A row, or else a member of a family: 1 and *ret, or 0 and ret->partial. first: the CPU signature that is tried before the others, or 0. The row is compared with the family of its launch, if it has one: -EBADMSG with an error
 * message if they contradict each other. */
_warn_unused_result_ int refs_bundle_find(const RefsBundle *b, const uint8_t *digest, size_t size,
                uint32_t first, RefsMatch *ret, char **reterr);
/* "row: 2 vCPUs, EPYC-v4, web (firmware OVMF.fd, kernel vmlinuz)". Owned. */
_warn_unused_result_ int refs_match_text(const RefsMatch *m, char **ret);
/* "2 vCPUs, EPYC-v4" of a row. Owned. */
_warn_unused_result_ int refs_row_text(const RefsRun *run, size_t i, char **ret);
/* The name, or the names of its inputs. Owned. */
_warn_unused_result_ int refs_launch_text(const RefsLaunch *l, char **ret);
