/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a guest hands over, in whatever wrapping:
 *
 *      the report alone, or with the host's certificate table after it
 *      the report with line breaks or zeros after it: a buffer that was written whole, a text editor
 *      the answer of SNP_GET_REPORT: u32 status, u32 size, 24 reserved bytes, the report, zeros (AMD 56860, MSG_REPORT_RSP;
 *      Linux, include/uapi/linux/sev-guest.h: 4000 bytes)
 *      Azure's HCL report: 32 bytes of header "HCLA", the report, runtime data, zeros
 *      any of them as text (evidence-form.h), or as the one member of a JSON document that holds such a thing
 *
 * What stands around a report is not signed and has no say in the verdict. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"
#include "snp-cert-table.h"

#define SNP_EVIDENCE_SIZE_MAX (2u * 1024u * 1024u)

typedef enum SnpWrapping {
        SNP_WRAPPING_NONE,
        SNP_WRAPPING_TABLE, /* certificate table after the report */
        SNP_WRAPPING_HCL,
        SNP_WRAPPING_HCL_TAIL, /* the same without its first header */
        SNP_WRAPPING_PADDED,   /* zeros or line breaks after the report */
        SNP_WRAPPING_RESPONSE, /* the firmware's answer, with its header */
        _SNP_WRAPPING_MAX,
        _SNP_WRAPPING_INVALID = -22,
} SnpWrapping;

const char *snp_wrapping_to_string(SnpWrapping w);

typedef struct SnpEvidence {
        SnpWrapping wrapping;
        const uint8_t *report; /* borrowed; SNP_REPORT_SIZE bytes */
        size_t report_size;
        SnpCertTable table;          /* hints from the host; empty without one */
        const uint8_t *runtime_data; /* HCL: the JSON whose hash REPORT_DATA begins with; borrowed, may be NULL */
        size_t runtime_data_size;
        uint8_t *decoded; /* owned; NULL: the pointers above go into the caller's bytes */
        char *note;       /* owned; NULL, or what was undone before the bytes could be read: "base64 text" */
} SnpEvidence;

void snp_evidence_done(SnpEvidence *e);

/* Binary forms only; nothing is allocated. -EBADMSG with an error message for anything else. */
_warn_unused_result_ int snp_evidence_read(const void *p, size_t n, SnpEvidence *ret, char **reterr);
/* Text forms as well. The sentence of -EBADMSG says what the bytes look like. */
_warn_unused_result_ int snp_evidence_open(const void *p, size_t n, SnpEvidence *ret, char **reterr);
