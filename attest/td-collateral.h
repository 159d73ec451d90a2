/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What Intel says about processors and enclaves, from any source: certificates, revocation lists, TCB info and QE identities. A pool that decides nothing about
 * trust; td-verify.h looks for the genuine ones, and remembers which they are, so that a pool kept across quotes verifies each statement once. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-x509.h"
#include "macro.h"
#include "td-signed.h"
#include "td-tcb.h"

#define TD_COLLATERAL_MAX 256u /* of each kind */

typedef struct TdCertificate {
        Certificate *certificate; /* owned */
        char *origin;             /* owned: for people */
} TdCertificate;

typedef struct TdCrl {
        Crl *crl; /* owned */
        char *origin;
        bool verified; /* signed by the key with the fingerprint verified_by */
        uint8_t verified_by[SHA256_SIZE];
} TdCrl;

typedef struct TdStatement {
        TdSigned json;
        char *origin;         /* owned */
        bool judged, genuine; /* signed by Intel's signing key, and read */
        char *why;            /* owned: why it is not */
        TdTcbInfo tcb_info;   /* if it is a genuine one */
        TdQeIdentity qe;      /* likewise */
} TdStatement;

typedef struct TdCollateral {
        TdCertificate *certificates; /* owned, as are the others */
        TdCrl *crls;
        TdStatement *statements;
        size_t n_certificates, n_crls, n_statements;
} TdCollateral;

void td_collateral_done(TdCollateral *c);

/* Everything found in the bytes, told apart by content: Intel's signed JSON (tcbInfo, enclaveIdentity), PEM, DER, each also in a text form (evidence-form.h), and
 * the JSON bundles of dcap-qvl (tcb_info, qe_identity, their signatures and issuer chains, lists in hex). -EBADMSG with an error message if nothing of
 * the kind is there, or something is broken. */
_warn_unused_result_ int td_collateral_add(
                TdCollateral *c, const void *data, size_t size, const char *origin, char **reterr);
