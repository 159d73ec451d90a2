/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the report program share; snpguest uses the collateral part. */

#include <stdbool.h>

#include "json.h"
#include "snp-collateral.h"
#include "snp-evidence.h"
#include "snp-kds.h"
#include "snp-policy.h"
#include "snp-verify.h"
#include "td-pcs.h"
#include "verb.h"

typedef struct ReportArguments {
        char **leaf, **ca, **certs;
        char *kds_url, *pcs_url, *cache, *insecure_root;
        bool offline;
        char *time, *crl, *generation;
        char **measurements, **report_data, **host_data;
        char *bound_to;
        bool any_measurement, any_report_data;
        char **references, *reference_key;
        bool allow_debug, allow_migration_agent, allow_host_credentials;
        char *vmpl, *policy;
        char **collateral, **expect, **tcb_status;
        char *field, *format, *sign_key;
        bool html;
        VerbCommon common;
} ReportArguments;

/* What is left of standard input, each time the same. -E2BIG over max. */
_warn_unused_result_ int report_stdin_read(size_t max, char **ret, size_t *ret_size);
/* A report in whatever form, from a file, "-" or a directory with outblob and auxblob as in the kernel's TSM tree. */
typedef struct ReportFile {
        char *data, *table; /* owned; table: a certificate table that lay beside it */
        size_t size, table_size;
        SnpEvidence evidence;
} ReportFile;

void report_file_done(ReportFile *f);
/* -errno with an error message if the file cannot be read or is not a report; a notice says which text form was decoded. Whether the report's
 * bytes make sense is for the verifier. */
_warn_unused_result_ int report_file_read(const char *path, ReportFile *ret, char **reterr);

/* Fills the pool from --leaf, --ca and --certs. A file without certificates, or without a leaf for --leaf, is -EINVAL, and no verdict. */
_warn_unused_result_ int report_collect_files(const ReportArguments *a, SnpCollateral *pool, char **reterr);
/* --insecure-root: the roots in the file (PEM or DER) are trusted instead of AMD's, for simulated machines. They go into the pool as well. */
_warn_unused_result_ int report_trust_root(
                SnpTrust *t, const char *path, SnpCollateral *pool, char **reterr);

/* Refuses a file that is missing or empty, which no technology claims. */
_warn_unused_result_ int report_input_check(const char *path, char **reterr);
/* The bytes of a TD's quote or TDREPORT behind its text encodings, from a file or a directory as above: 1; 0: it is something else, or no file. */
_warn_unused_result_ int report_quote_read(const char *path, char **ret, size_t *ret_size);

/* The network and cache that the options describe. */
typedef struct ReportNetwork {
        SnpKds kds;
        TdPcs pcs;
        char *cache; /* owned */
        void *http;  /* owned */
} ReportNetwork;

void report_network_done(ReportNetwork *n);
_warn_unused_result_ int report_network_init(
                ReportNetwork *n, const ReportArguments *a, int64_t now, char **reterr);

/* "2026-01-31", "2026-01-31T12:00:00Z", "@SECONDS"; NULL is now. */
_warn_unused_result_ int report_time(const char *text, int64_t *ret, char **reterr);
/* --crl; if-available by default. */
_warn_unused_result_ int report_crl_mode(const ReportArguments *a, SnpCrlMode *ret, char **reterr);
/* Options of the policy that exclude each other; expected: there is an expected measurement. */
_warn_unused_result_ int report_policy_exclusions(const ReportArguments *a, bool expected, char **reterr);
/* --generation; _SNP_GENERATION_INVALID if it was not given. */
_warn_unused_result_ int report_generation(const ReportArguments *a, SnpGeneration *ret, char **reterr);

int report_show(const ReportArguments *a, char **words, char **reterr);
int report_verify(const ReportArguments *a, char **words, char **reterr);
