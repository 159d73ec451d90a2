/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Verdicts as one EAT Attestation Result: a submodule for each report, signed by --sign-key= or bare. */

#include "report-references.h"
#include "snp-ear.h"

typedef struct ReportEar {
        Json *submods; /* owned */
        const char *status;
        char *evidence; /* owned: of the only report, or NULL */
} ReportEar;

void report_ear_done(ReportEar *e);

/* match: NULL for a report that could not be read; then there are no claims. */
_warn_unused_result_ int report_ear_add(
                ReportEar *e, const char *name, const SnpEarVector *vector, const ReportMatch *match);
_warn_unused_result_ int report_ear_evidence(ReportEar *e, const ReportFile *f);
_warn_unused_result_ int report_ear_print(const ReportArguments *a, ReportEar *e, char **reterr);
