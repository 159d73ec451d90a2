/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The available certificates and revocation lists, from any source: a pool in which a path is searched, which decides nothing about trust. What was
 * once verified stays marked, so that a pool kept across reports verifies each certificate once. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-x509.h"
#include "macro.h"
#include "snp-cert-table.h"
#include "snp-leaf.h"
#include "snp-trust.h"

#define SNP_COLLATERAL_MAX 1024u /* certificates in one pool: a directory of leaves */

typedef struct SnpCertificate {
        Certificate *certificate; /* owned */
        char *origin;             /* owned: where it came from, for people */
        SnpRole role;
        SnpGeneration generation;
        bool named;                       /* a leaf that was given by name */
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

/* Adds every certificate and revocation list found in the bytes, told apart by content: PEM (any number, RFC 7468), DER certificates
 * or revocation lists one after another, a certificate table, each also in a text form (evidence-form.h), or in the members of a
 * JSON document (Azure's THIM: "vcekCert", "certificateChain"). named: the leaves among them are those to judge by. -EBADMSG
 * with an error message that says what it looks like if there is nothing of the kind, or a broken one. Names that AMD does not use are an
 * error too. */
_warn_unused_result_ int snp_collateral_add(SnpCollateral *c, const void *data, size_t size,
                const char *origin, bool named, char **reterr);
/* The same for a table that came with a report: entries that cannot be read are skipped, the host may put anything there. */
_warn_unused_result_ int snp_collateral_add_table(
                SnpCollateral *c, const SnpCertTable *t, const char *origin);
/* Trusts the root certificates in these bytes instead of AMD's, for simulated machines: -EINVAL with an error message if there is none. */
_warn_unused_result_ int snp_collateral_insecure_root(
                SnpTrust *t, const void *data, size_t size, const char *path, char **reterr);
