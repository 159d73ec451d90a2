/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What AMD's certificates say: their role and generation by name, and the private extensions of VCEK and VLEK (AMD
 * publication 57230, "VCEK Certificate and KDS Interface Specification", table of extensions, arc
 * 1.3.6.1.4.1.3704.1). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-x509.h"
#include "macro.h"
#include "snp-tcb.h"

typedef enum SnpRole {
        SNP_ROLE_ARK,  /* root */
        SNP_ROLE_ASK,  /* signs VCEKs */
        SNP_ROLE_ASVK, /* signs VLEKs */
        SNP_ROLE_VCEK, /* a chip's key */
        SNP_ROLE_VLEK, /* a cloud provider's key */
        _SNP_ROLE_MAX,
        _SNP_ROLE_INVALID = -22,
} SnpRole;

const char *snp_role_to_string(SnpRole r); /* "ARK"... */
/* By the subject's common name; _INVALID for one that AMD does not use. */
SnpRole snp_certificate_role(const Certificate *c);
/* ARK, ASK, ASVK: by the subject's common name; leaves: by the issuer's. _INVALID if there is none. */
SnpGeneration snp_certificate_generation(const Certificate *c);

/* Marked as one that may sign leaves and nothing else: a CA with a path length of 0. */
bool snp_certificate_is_issuer(const Certificate *c);

#define SNP_HWID_SIZE_MAX 64u
#define SNP_CSP_ID_MAX    255u

typedef struct SnpLeaf {
        SnpRole role;
        SnpGeneration generation;
        char product[32]; /* productName, "Milan-B0" */
        SnpTcb tcb;
        uint8_t hwid[SNP_HWID_SIZE_MAX]; /* VCEK only */
        size_t hwid_size;
        char csp_id[SNP_CSP_ID_MAX + 1]; /* VLEK only */
} SnpLeaf;

/* All that the leaf's role and generation require must be there, once, and nothing unknown: -EBADMSG with an error message. */
_warn_unused_result_ int snp_leaf_read(const Certificate *c, SnpLeaf *ret, char **reterr);
