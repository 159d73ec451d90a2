/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Is this quote authentic, and what does Intel say about the machine that it is from? Pure, as snp-verify.h: quote, collateral, anchor and time come in, a verdict
 * comes out. The order of work is fixed (TdStep) and stops at the first step that fails; signatures are checked before any statement about TCB levels is
 * looked at. An authentic quote is not yet a verified one: that takes a policy (td-policy.h). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest-verdict.h"
#include "macro.h"
#include "snp-verify.h"
#include "td-collateral.h"
#include "td-quote.h"

typedef enum TdStep {
        TD_STEP_LAYOUT,     /* quote, its header */
        TD_STEP_CHAIN,      /* the certificates in the quote: which ones, and who signed them */
        TD_STEP_ROOT,       /* the root's key is the pinned one */
        TD_STEP_VALIDITY,   /* of these certificates */
        TD_STEP_REVOCATION, /* likewise */
        TD_STEP_EXTENSIONS, /* the PCK certificate's */
        TD_STEP_QE_REPORT,  /* signed by the PCK */
        TD_STEP_BINDING,    /* the attestation key is that of the quoting enclave */
        TD_STEP_SIGNATURE,  /* over header and body */
        TD_STEP_COLLATERAL, /* TCB info and QE identity are there, genuine and current */
        TD_STEP_QE_IDENTITY,
        TD_STEP_MODULE,
        TD_STEP_POLICY,
        _TD_STEP_MAX,
        _TD_STEP_INVALID = -22,
} TdStep;

const char *td_step_to_string(TdStep s);

/* The one anchor: Intel's root of SGX, by the SHA-256 of its SubjectPublicKeyInfo. */
typedef struct TdTrust {
        uint8_t fingerprint[SHA256_SIZE];
        bool insecure; /* not Intel's: given by the caller for tests */
} TdTrust;

void td_trust_init(TdTrust *t);
/* The certificate's key instead of Intel's. For simulated machines: the holder of that key can forge every quote. */
_warn_unused_result_ int td_trust_insecure_acknowledging_forgery(TdTrust *t, const Certificate *c);

typedef struct TdVerifyInput {
        const uint8_t *quote;
        size_t quote_size;
        TdCollateral *collateral; /* marks of what was verified are left there */
        const TdTrust *trust;
        int64_t now; /* seconds since 1970 */
        SnpCrlMode crl;
} TdVerifyInput;

typedef struct TdResult {
        Verdict verdict; /* set by td_verify() if it fails, by td_policy_judge() else */
        bool authentic;
        TdStep step;    /* where it stopped */
        char *sentence; /* owned: why; NULL if authentic */
        char *crl_note; /* owned: why no revocation list was used; NULL: they were */
        bool decoded;   /* `quote` is set; it borrows the input */
        TdQuote quote;
        bool insecure_root;
        Certificate *leaf, *ca, *root;             /* owned: from the quote */
        TdPck pck;                                 /* if authentic, as all that follows */
        const TdStatement *tcb_info, *qe_identity; /* weak: in the collateral */
        const TdModule *module;                    /* weak */
        const TdLevel *level, *module_level,
                        *qe_level; /* weak; NULL: none is reached, or the module has none */
        TdStatus status;           /* of all together */
} TdResult;

void td_result_done(TdResult *r);

/* 0 if a verdict or authenticity was reached (look at *ret), -errno if not: out of memory, a broken crypto library. */
_warn_unused_result_ int td_verify(const TdVerifyInput *in, TdResult *ret);
