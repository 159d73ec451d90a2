/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Trust anchors: AMD's root keys (ARK), one a generation, pinned by the SHA-256 of their SubjectPublicKeyInfo and compiled in.
 * The root certificate itself comes from wherever certificates come from; it counts only if its key is the pinned one
 * and has signed the certificate itself. Nothing in evidence can add an anchor. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto-x509.h"
#include "macro.h"
#include "snp-tcb.h"

typedef struct SnpRoot {
        uint8_t fingerprint[SHA256_SIZE];
        bool pinned;                 /* there is an anchor for this generation */
        bool insecure;               /* not AMD's: given by the caller for tests */
        Certificate *certificate;    /* owned; NULL until one with the pinned key was seen */
        uint8_t digest[SHA256_SIZE]; /* of the whole certificate */
} SnpRoot;

typedef struct SnpTrust {
        SnpRoot roots[_SNP_GENERATION_MAX];
} SnpTrust;

/* AMD's anchors. There is none for a generation whose root AMD has not published yet. */
void snp_trust_init(SnpTrust *t);
void snp_trust_done(SnpTrust *t);

/* Offers a certificate (copied): 1 if it is a root with a pinned key, properly self-signed, 0 if its key is not pinned, -EBADMSG
 * with an error message if the key is AMD's and the certificate is not what it should be. */
_warn_unused_result_ int snp_trust_offer(SnpTrust *t, const Certificate *c, char **reterr);

/* Replaces the anchor of the generation that the certificate names by the certificate's own key. For simulated machines:
 * the holder of that key can forge every report. */
_warn_unused_result_ int snp_trust_insecure_acknowledging_forgery(
                SnpTrust *t, const Certificate *c, char **reterr);
