/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What reports are compared with: tables of measure, and reference bundles with what they expect of machines. */

#include "refs-file.h"
#include "refs-judge.h"
#include "report.h"
#include "snp-reference.h"

typedef struct ReportBundle {
        const char *path; /* weak */
        RefsFile file;
} ReportBundle;

typedef struct ReportReferences {
        SnpReferences tables;
        ReportBundle *bundles; /* owned */
        size_t n_bundles;
        char *where; /* owned: all bundles, for violations */
} ReportReferences;

void report_references_done(ReportReferences *r);

/* Bundles alone, with launches of that technology. */
_warn_unused_result_ int report_references_bundles(
                const ReportArguments *a, CocoMode mode, ReportReferences *ret, char **reterr);
/* --reference= and the launch after `--`, or NULL. The digests of tables go into the policy; those of bundles are looked up one report at a time. */
_warn_unused_result_ int report_references_read(const ReportArguments *a, char *const *launch, SnpPolicy *p,
                ReportReferences *ret, char **reterr);

/* Where a report was found, or what is nearest to it. */
typedef struct ReportMatch {
        uint8_t digest[48];
        const ReportBundle *bundle; /* weak; NULL: not in one */
        RefsMatch where;
        char *text, *floor, *nearest; /* owned, or NULL */
} ReportMatch;

void report_match_done(ReportMatch *m);

/* Looks an authentic report up. p is a copy of the policy, whose lists stay with the original: it then accepts the digest that was found in a bundle, and has what
 * that bundle expects. */
_warn_unused_result_ int report_references_find(const ReportReferences *refs, const SnpReport *report,
                SnpGeneration g, SnpPolicy *p, ReportMatch *ret, char **reterr);

/* The policy of options, files and references, with nothing left undecided; launch: NULL, or arguments of measure. */
_warn_unused_result_ int report_policy(const ReportArguments *a, char *const *launch, SnpPolicy *p,
                ReportReferences *refs, char **reterr);
