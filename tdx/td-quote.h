/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a TD says about itself: a TDREPORT, which only its own processor can check, or a quote, which a quoting enclave of Intel's signed.
 *
 * Theory of operation (Intel 348551, REPORTMACSTRUCT, TEE_TCB_INFO, TDINFO_STRUCT; "Intel TDX DCAP: Quote Generation Library and Quote Verification Library",
 * "Version 4 Quote Format", "Version 5 Quote Format"): header, with version 5 the type and size of the body, body, signature data: signature and key, then as
 * certification data the enclave's report with its signature and the chain of certificates.
 *
 * Nothing is verified here. */

#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "macro.h"
#include "tdx-abi.h"

/* Real quotes have 4 to 8 KiB; Linux has room for 16. */
#define TD_QUOTE_SIZE_MAX (128u * 1024u)
#define TD_REPORT_SIZE    1024u

typedef struct TdSpan {
        const uint8_t *data; /* borrowed */
        size_t size;
} TdSpan;

typedef struct TdQuote {
        unsigned version; /* 4, 5; 0: a TDREPORT, which has no signature */
        bool td15;        /* has the two members of TD 1.5 */
        uint8_t tee_tcb_svn[16], mrseam[TDX_DIGEST_SIZE], mrsignerseam[TDX_DIGEST_SIZE], seam_attributes[8];
        uint64_t attributes, xfam;
        uint8_t mrtd[TDX_DIGEST_SIZE], mrconfigid[TDX_DIGEST_SIZE], mrowner[TDX_DIGEST_SIZE],
                        mrownerconfig[TDX_DIGEST_SIZE];
        uint8_t rtmr[TDX_RTMRS][TDX_DIGEST_SIZE];
        uint8_t report_data[64];
        uint8_t tee_tcb_svn2[16], mrservicetd[TDX_DIGEST_SIZE];
        TdSpan signed_part; /* header and body */
        TdSpan signature, key, qe_report, qe_signature, qe_auth, chain;
        unsigned chain_type; /* 5: certificates in PEM */
        TdSpan rest;         /* behind the quote: not signed */
} TdQuote;

/* Does it begin as one of both? */
bool td_quote_is(const uint8_t *p, size_t n);
/* -EBADMSG with an error message. The quote borrows the bytes. */
_warn_unused_result_ int td_quote_parse(const uint8_t *p, size_t n, TdQuote *ret, char **reterr);

/* For people and programs; *ret is owned. */
_warn_unused_result_ int td_quote_text(const TdQuote *q, char **ret);
_warn_unused_result_ int td_quote_json(const TdQuote *q, Json **ret);
/* One field: "measurement" (MRTD), "report-data", "policy" (ATTRIBUTES), "version"; -ENOENT: it has no such field. */
_warn_unused_result_ int td_quote_field(const TdQuote *q, const char *name, char **ret);
