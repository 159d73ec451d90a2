/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* From a pool of certificates to the path that a report is judged by: the leaf that fits the report's chip and TCB, the intermediate that
 * signed it, the pinned root that signed that. Forged or foreign certificates in the pool are not in the way of genuine ones. */

#include "snp-verify.h"

/* What was found of a path, and what stood in its way: the names of files, for the sentence. */
typedef struct SnpPath {
        SnpCertificate *intermediate; /* that the root signed, and that signed the leaf; NULL: none */
        const char *foreign_root;     /* called ARK, with another key */
        const char *bad_root;         /* with the pinned key, but not what a root should be */
        const char *bad_intermediate; /* not signed by the root, or no issuer */
        bool has_root, has_intermediate;
} SnpPath;

/* From the leaf up to the pinned root of its generation; the marks of what was verified are left in the pool. 0 or -errno. */
_warn_unused_result_ int snp_path_find(const SnpVerifyInput *in, SnpCertificate *leaf, SnpPath *ret);

/* The best of several leaves: 2 chip and TCB fit, 1 the right kind of key, 0 another. Of equals it is the first genuine one. */
typedef struct SnpChoice {
        SnpCertificate *best;
        int rating, genuine; /* genuine: -1 not looked at yet */
        size_t n;
} SnpChoice;

/* Among all leaves of the right kind, and among those that were named. */
_warn_unused_result_ int snp_leaf_choose(const SnpVerifyInput *in, const SnpReport *report, SnpGeneration g,
                SnpChoice *ret_all, SnpChoice *ret_named);
bool snp_leaf_fits_chip(const SnpLeaf *leaf, const SnpReport *p);
