/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a guest hands over, in whatever wrapping: the report alone; the report with the host's certificate table behind it; Azure's HCL
 * report (32 byte header "HCLA", the report, runtime data). Nothing is copied: pointers go into the caller's bytes. */

#include <stddef.h>
#include <stdint.h>

#include "macro.h"
#include "snp-cert-table.h"

#define SNP_EVIDENCE_SIZE_MAX (2u * 1024u * 1024u)

typedef enum SnpWrapping {
        SNP_WRAPPING_NONE,
        SNP_WRAPPING_TABLE, /* certificate table behind the report */
        SNP_WRAPPING_HCL,
        SNP_WRAPPING_HCL_TAIL, /* the same without its first header */
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
} SnpEvidence;

/* -EBADMSG with a sentence for anything that is neither, trailing bytes included. */
_warn_unused_result_ int snp_evidence_read(const void *p, size_t n, SnpEvidence *ret, char **reterr);
