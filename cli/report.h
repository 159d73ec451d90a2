/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the report program share; snpguest uses the collateral part. */

#include <stdbool.h>

#include "json.h"
#include "snp-collateral.h"
#include "snp-evidence.h"
#include "snp-kds.h"
#include "snp-policy.h"
#include "snp-reference.h"
#include "snp-verify.h"

typedef struct ReportArguments {
        char **leaf, **ca, **certs;
        char *kds_url, *cache, *insecure_root;
        bool offline;
        char *time, *crl, *generation;
        char **measurements, **report_data, **host_data;
        char *bound_to;
        bool any_measurement, any_report_data;
        char **references, *reference_key;
        bool allow_debug, help;
        char *vmpl, *policy;
        char *json, *field, *format;
} ReportArguments;

/* A report in whatever wrapping, from a file, "-" or a directory with outblob and auxblob as in the kernel's TSM tree. */
typedef struct ReportFile {
        char *data, *table; /* owned; table: a certificate table that lay beside it */
        size_t size, table_size;
        bool readable;   /* evidence is set */
        char *complaint; /* owned: why not */
        SnpEvidence evidence;
} ReportFile;

void report_file_done(ReportFile *f);
/* -errno if the file cannot be read; a malformed one is not an error here (f->readable). */
_warn_unused_result_ int report_file_read(const char *path, ReportFile *ret, char **reterr);

/* Fills the pool from --leaf, --ca and --certs. -EBADMSG: a file that was named is no certificate. */
_warn_unused_result_ int report_collect_files(const ReportArguments *a, SnpCollateral *pool, char **reterr);

/* The network and cache that the options describe. */
typedef struct ReportNetwork {
        SnpKds kds;
        char *cache; /* owned */
        void *http;  /* owned */
} ReportNetwork;

void report_network_done(ReportNetwork *n);
_warn_unused_result_ int report_network_init(
                ReportNetwork *n, const ReportArguments *a, int64_t now, char **reterr);
/* Fetches what an undecided result lacks; -ENOENT with a sentence if it cannot be had. */
_warn_unused_result_ int report_network_complete(ReportNetwork *n, const ReportArguments *a,
                const SnpResult *result, SnpCollateral *pool, char **reterr);

/* "2026-01-31", "2026-01-31T12:00:00Z", "@SECONDS"; NULL is now. */
_warn_unused_result_ int report_time(const char *text, int64_t *ret, char **reterr);
_warn_unused_result_ int report_json_style(
                const char *text, bool *ret_on, JsStyle *ret_style, char **reterr);
_warn_unused_result_ int report_print_json(const Json *j, JsStyle style);

/* The policy of options, files and reference tables, with nothing left undecided; launch: NULL, or arguments of measure. */
_warn_unused_result_ int report_policy(const ReportArguments *a, char *const *launch, SnpPolicy *p,
                SnpReferences *refs, char **reterr);

int report_show(const ReportArguments *a, char **words, char **reterr);
int report_verify(const ReportArguments *a, char **words, char **reterr);
