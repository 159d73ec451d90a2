/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Certificates and revocation lists at hand, whoever brought them: a pool to look for a path in, without any say in trust. What was
 * once verified stays marked, so that a pool kept across reports verifies each certificate once. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-x509.h"
#include "macro.h"
#include "snp-cert-table.h"
#include "snp-leaf.h"

#define SNP_COLLATERAL_MAX 1024u /* certificates in one pool: a directory of leaves */

typedef struct SnpCertificate {
        Certificate *certificate; /* owned */
        char *origin;             /* owned: where it came from, for people */
        SnpRole role;
        SnpGeneration generation;
        bool named;                       /* given by name as the leaf to use */
        bool leaf_valid;                  /* the extensions could be read */
        SnpLeaf leaf;                     /* leaves only, if leaf_valid */
        char *leaf_error;                 /* owned: why not */
        uint8_t digest[SHA256_SIZE];      /* of the whole certificate */
        bool verified;                    /* signed by the certificate with the digest verified_by */
        uint8_t verified_by[SHA256_SIZE]; /* a digest, not a pointer: that could be reused */
} SnpCertificate;

typedef struct SnpCrl {
        Crl *crl; /* owned */
        char *origin;
} SnpCrl;

typedef struct SnpCollateral {
        SnpCertificate **certificates; /* owned */
        size_t n_certificates;
        SnpCrl *crls; /* owned */
        size_t n_crls;
} SnpCollateral;

void snp_collateral_done(SnpCollateral *c);

/* Adds every certificate and revocation list found in the bytes: PEM (any number), a DER certificate or revocation list, or a
 * certificate table; told apart by content. -EBADMSG with a sentence if there is nothing of the kind, or a
 * broken one. Names that AMD does not use are an error too. */
_warn_unused_result_ int snp_collateral_add(SnpCollateral *c, const void *data, size_t size,
                const char *origin, bool named, char **reterr);
/* The same for a table that came with a report: entries that cannot be read are skipped, the host may put anything there. */
_warn_unused_result_ int snp_collateral_add_table(
                SnpCollateral *c, const SnpCertTable *t, const char *origin);
