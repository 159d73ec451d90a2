/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The technologies whose evidence `report verify` judges, one row each: which options have no meaning for it, how it is judged. */

#include "attest-verdict.h"
#include "report-ear.h"
#include "report.h"

/* The answer about one report. */
typedef struct ReportAnswer {
        Verdict verdict;
        Json *json; /* owned; with --json and --html */
        char *text; /* owned; without: lines, the verdict is the last one */
        /* Given by the caller with --format=ear: the answer goes there by this name instead, and the report itself, too, if it is the only one. */
        ReportEar *ear;
        const char *name;
        bool evidence;
} ReportAnswer;

typedef struct ReportOption {
        const char *name;
        size_t offset; /* of a char * or char ** in ReportArguments: NULL if it was not given */
} ReportOption;

typedef struct ReportTechnology {
        const char *name, *evidence; /* "sev-snp", "SEV-SNP reports" */
        const ReportOption *foreign; /* options without a meaning here, up to one without a name */
        const char *ear;       /* name of a single report in an attestation result; NULL: not supported */
        bool html;             /* there is a page for its JSON */
        bool host_credentials; /* --allow-host-credentials has a meaning */
        const char *launch;    /* why arguments of measure cannot follow; NULL: they can */
        /* Is the file evidence of this technology? NULL: it is if it is not of another one. */
        bool (*recognise)(const char *path);
        /* What all reports are judged by: the policy of options and files, with nothing left undecided. */
        int (*start)(const ReportArguments *a, char *const *launch, void **ret, char **reterr);
        /* negative: the report cannot be read or judged. */
        int (*judge)(void *shared, const char *path, ReportAnswer *ret, char **reterr);
        void (*end)(void *shared);
} ReportTechnology;

void report_answer_done(ReportAnswer *a);

extern const ReportTechnology report_technology_snp, report_technology_tdx;
