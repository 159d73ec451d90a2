/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The certificate chain of a SEV or SEV-ES platform (AMD 55766, "Certificate chain").
 *
 *      ARK (AMD's root) -> ASK -> CEK (of the chip) --+
 *                                                      +-> PEK -> PDH, for which a session is made
 *      OCA (owner of the platform, self signed) -------+
 *
 * The PEK needs both signatures; they may lie in either slot. The OCA proves nothing unless the guest owner pins it. The
 * root counts only if its key is a trust anchor; which files the certificates came from does not matter. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest-anchors.h"
#include "attest-verdict.h"
#include "macro.h"
#include "sev-cert.h"

/* The longest known file: PDH, PEK, OCA, CEK, ASK, ARK with keys of 4096 bits. */
#define SEV_CHAIN_SIZE_MAX (4 * SEV_CERT_SIZE + 2 * AMD_CERT_SIZE_4096)

/* Certificates that were found, in any order and from any number of files; a later one of the same kind must be equal. */
typedef struct SevChain {
        bool has_pdh, has_pek, has_oca, has_cek, has_ask, has_ark;
        SevCert pdh, pek, oca, cek;
        AmdCert ask, ark;
} SevChain;

/* Reads one file: any concatenation of certificates (QEMU's pdh and cert-chain, sevctl export with or without --full, AMD's
 * ask_ark files, single certificates), raw or as base64 text. Adds to *chain. A CEK signed by AMD replaces the same CEK
 * without that signature. -EBADMSG, -EEXIST (two different certificates of one kind), with an error message. */
_warn_unused_result_ int sev_chain_add(
                SevChain *chain, const void *data, size_t size, bool allow_unsigned_ark, char **reterr);

typedef struct SevChainPolicy {
        const TrustAnchors *anchors;
        const uint8_t *oca_fingerprint; /* SHA-256 of the whole OCA certificate; NULL: any owner */
        bool accept_unsigned_ark; /* an ARK without its signature, if its key is an anchor (Naples as published) */
} SevChainPolicy;

/* One line of the report: what was checked, and how it went. */
typedef struct SevChainStep {
        const char *subject; /* "PEK" */
        const char *check;   /* "signed by OCA" */
        Verdict verdict;
        char *detail; /* owned; NULL: nothing to add */
} SevChainStep;

#define SEV_CHAIN_STEPS_MAX 16u

typedef struct SevChainReport {
        Verdict verdict; /* of all steps together: the worst */
        SevChainStep steps[SEV_CHAIN_STEPS_MAX];
        size_t n_steps;
        const char *generation; /* of the anchor; NULL: not reached. Borrowed from the anchors */
} SevChainReport;

void sev_chain_report_done(SevChainReport *r);
/* Checks everything that can be checked, so that the report names every problem at once. 0, or -ENOMEM, -EIO. */
_warn_unused_result_ int sev_chain_verify(
                const SevChain *chain, const SevChainPolicy *policy, SevChainReport *ret);
/* Whether what AMD signs holds by itself, whatever else the chain has: the ARK is an anchor, the ASK signed by it, and the CEK, if there is one, by
 * that. Only such certificates enter a cache. */
_warn_unused_result_ int sev_chain_amd_holds(const SevChain *chain, const SevChainPolicy *policy, bool *ret);
/* The first step that is not authentic, or NULL. */
const SevChainStep *sev_chain_report_problem(const SevChainReport *r);
