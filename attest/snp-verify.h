/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Is this report authentic? Pure: report bytes, a pool of certificates, trust anchors and the time come in, a verdict comes out,
 * so that every verdict can be had again from a folder of files. The order of work is fixed (SnpStep) and stops at the
 * first step that fails. An authentic report is not yet a verified one: that takes a policy (snp-policy.h). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest-verdict.h"
#include "macro.h"
#include "snp-collateral.h"
#include "snp-report.h"
#include "snp-trust.h"

typedef enum SnpStep {
        SNP_STEP_LAYOUT,     /* length, version, reserved bytes */
        SNP_STEP_KEY,        /* signature algorithm and which key signed */
        SNP_STEP_GENERATION, /* which processor generation, from CPUID, the option or the leaf */
        SNP_STEP_COLLATERAL, /* leaf, intermediate and root are available */
        SNP_STEP_ROOT,       /* the root's key is pinned */
        SNP_STEP_INTERMEDIATE,
        SNP_STEP_LEAF,
        SNP_STEP_VALIDITY,
        SNP_STEP_REVOCATION,
        SNP_STEP_EXTENSIONS,
        SNP_STEP_TCB,  /* the leaf is for the REPORTED_TCB */
        SNP_STEP_CHIP, /* the leaf is for this chip */
        SNP_STEP_SIGNATURE,
        SNP_STEP_POLICY,
        _SNP_STEP_MAX,
        _SNP_STEP_INVALID = -22,
} SnpStep;

const char *snp_step_to_string(SnpStep s);

typedef enum SnpCrlMode {
        SNP_CRL_IF_AVAILABLE, /* an available list is used if it is genuine and current */
        SNP_CRL_OFF,
        SNP_CRL_REQUIRED,
        _SNP_CRL_MODE_MAX,
        _SNP_CRL_MODE_INVALID = -22,
} SnpCrlMode;

const char *snp_crl_mode_to_string(SnpCrlMode m); /* "if-available", "off", "required" */
SnpCrlMode snp_crl_mode_from_string(const char *s);

typedef struct SnpVerifyInput {
        const uint8_t *report; /* exactly the report, without wrapping */
        size_t report_size;
        SnpCollateral *collateral; /* marks of what was verified are left there */
        SnpTrust *trust;           /* likewise */
        int64_t now;               /* seconds since 1970 */
        SnpGeneration generation;  /* stated by the caller, or _INVALID */
        SnpCrlMode crl;
} SnpVerifyInput;

typedef struct SnpResult {
        Verdict verdict; /* set by snp_verify() if it fails, by snp_policy_judge() else */
        bool authentic;
        SnpStep step;   /* where it stopped */
        char *sentence; /* owned: why, NULL if authentic */
        char *crl_note; /* owned: why no revocation list was used; NULL if one was */
        bool decoded;   /* `report` is set */
        SnpReport report;
        SnpGeneration generation;   /* _INVALID if not known */
        bool insecure_root;         /* the anchor is not AMD's */
        const SnpCertificate *leaf; /* weak: in the collateral; NULL if none was chosen */
        const SnpCertificate *intermediate;
} SnpResult;

void snp_result_done(SnpResult *r);

/* 0 if a verdict or authenticity was reached (look at *ret), -errno if not: out of memory, a broken crypto library. */
_warn_unused_result_ int snp_verify(const SnpVerifyInput *in, SnpResult *ret);

/* The leaf certificate that a report needs, to fetch it: kind, generation (as far as known), TCB, chip. */
_warn_unused_result_ int snp_verify_generation(
                const SnpReport *r, SnpGeneration stated, SnpGeneration *ret, char **reterr);
