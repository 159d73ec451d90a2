/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reference tables, as `cvmspawn measure --json` prints them: one launch digest a row, for so many vCPUs of such a CPU model. The
 * verifier takes digests; the rest is for naming the row that matched. */

#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "macro.h"
#include "snp-policy.h"

typedef struct SnpReference {
        uint8_t digest[48];
        char *text; /* owned: "2 vCPUs, EPYC-v4, kernel 1234abcd..., FILE" */
} SnpReference;

typedef struct SnpReferences {
        SnpReference *list; /* owned */
        size_t n;
} SnpReferences;

void snp_references_done(SnpReferences *r);

/* Adds the rows of a table for SNP, or of a batch as an array of its lines. -EINVAL with an error message for another mode or no rows;
 * members that are not needed are skipped. */
_warn_unused_result_ int snp_references_add(
                SnpReferences *r, const Json *table, const char *origin, char **reterr);
/* Each digest becomes an accepted measurement. */
_warn_unused_result_ int snp_references_accept(const SnpReferences *r, SnpPolicy *p, char **reterr);
/* The row with this measurement, or NULL. */
const SnpReference *snp_references_find(const SnpReferences *r, const uint8_t measurement[static 48]);
