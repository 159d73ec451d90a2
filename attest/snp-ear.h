/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A verdict as an EAT Attestation Result: draft-ietf-rats-ear-04, with the trustworthiness vector of draft-ietf-rats-ar4si. What this verifier cannot know (file
 * systems, storage, sources of data) has no claim.
 *
 *   authentic, policy met   executables 3 (approved at boot), configuration 2 or 3, hardware 2, instance-identity 2 if bound to a chip, runtime-opaque 2
 *   an advisory applies     hardware 32: genuine, with known vulnerabilities
 *   a root that is not AMD's   hardware 97: not recognized
 *   a rule is violated      96 or 97 in the claim that the rule is about
 *   not authentic           99: cryptographic validation failed
 *   no verdict              no claims, status "none" */

#include "snp-policy.h"
#include "snp-verify.h"

#define SNP_EAR_PROFILE "tag:ietf.org,2026:rats/ear#04"

/* X(enumerator, label) in the order of the draft's registry */
#define SNP_EAR_CLAIMS(X)                                                                                   \
        X(SNP_EAR_INSTANCE, "instance-identity")                                                            \
        X(SNP_EAR_CONFIGURATION, "configuration")                                                           \
        X(SNP_EAR_EXECUTABLES, "executables")                                                               \
        X(SNP_EAR_HARDWARE, "hardware")                                                                     \
        X(SNP_EAR_RUNTIME, "runtime-opaque")

#define SNP_EAR_ENUMERATOR(id, name) id,
typedef enum SnpEarClaim {
        SNP_EAR_CLAIMS(SNP_EAR_ENUMERATOR) _SNP_EAR_CLAIM_MAX,
} SnpEarClaim;

/* 0: no claim. */
typedef struct SnpEarVector {
        int claim[_SNP_EAR_CLAIM_MAX];
} SnpEarVector;

void snp_ear_vector(const SnpResult *r, const SnpPolicy *p, const Violations *v, SnpEarVector *ret);

/* "affirming", "warning", "contraindicated" or "none": the worst of the claims. */
const char *snp_ear_status(const SnpEarVector *v);
/* The worse of two statuses; "none" is worse than affirming: nothing is known. */
const char *snp_ear_worse(const char *a, const char *b);

/* A submodule: status, vector, and the policies by which it was appraised (takes `policies`, an array of texts, or NULL). */
_warn_unused_result_ int snp_ear_appraisal(const SnpEarVector *v, Json *policies, Json **ret);
/* The whole claims-set. submods: takes it; names to appraisals. raw_evidence: base64url, or NULL. */
_warn_unused_result_ int snp_ear_claims(
                Json *submods, const char *status, const char *raw_evidence, int64_t now, Json **ret);
