/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The trust anchors: the roots of AMD's hierarchies and of Intel's, named by the SHA-256 of their SubjectPublicKeyInfo. From Milan on
 * the same key signs the SEV-format chain (SEV, SEV-ES) and the X.509 chain (SEV-SNP). A root that arrives with the
 * evidence is used only if its key is one of these, or one that the caller named. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"

#define ANCHOR_FINGERPRINT_SIZE 32u

typedef struct TrustAnchor {
        const char *generation; /* "Milan"; "sgx" */
        uint8_t fingerprint[ANCHOR_FINGERPRINT_SIZE];
} TrustAnchor;

typedef struct TrustAnchors {
        const TrustAnchor *items; /* borrowed */
        size_t n_items;
} TrustAnchors;

/* AMD's, compiled in. */
const TrustAnchors *trust_anchors_amd(void);
/* Intel's root of SGX and TDX, compiled in. */
const TrustAnchors *trust_anchors_intel(void);
/* Its certificate, DER in base64. */
const char *trust_anchor_intel_certificate(void);
/* The anchor with this fingerprint, or NULL. */
const TrustAnchor *trust_anchors_find(
                const TrustAnchors *anchors, const uint8_t fingerprint[static ANCHOR_FINGERPRINT_SIZE]);
