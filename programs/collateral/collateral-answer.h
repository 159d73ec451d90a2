/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the mirror answers to one request, and what it fetches without being asked. */

#include "collateral-request.h"
#include "collateral.h"
#include "httpd.h"

typedef struct CollateralDesk {
        const CollateralArgs *args;
        CollateralStore store;
        CollateralQueue queues[_COLLATERAL_SERVICE_MAX];
        char **ahead; /* owned: addresses to prefetch */
        size_t next_ahead;
        uint64_t looked;                                            /* at the revocation lists */
        uint64_t refreshed[_SNP_GENERATION_MAX][_SNP_KDS_KIND_MAX]; /* when their download was begun last */
        uint64_t ends;                                              /* drains: until then */
        uint64_t answered[6];                                       /* by the first digit of the status */
        uint64_t n_stale;
        uint64_t seen[_SNP_GENERATION_MAX][_SNP_KDS_KIND_MAX]; /* when it verified last */
        bool told_stale[_SNP_GENERATION_MAX][_SNP_KDS_KIND_MAX], told_stale_intel[_TD_PCS_KIND_MAX];
} CollateralDesk;

/* Milliseconds of a clock that nobody sets. */
uint64_t collateral_now(void);
_warn_unused_result_ int collateral_desk_open(CollateralDesk *d, const CollateralArgs *a, char **reterr);
void collateral_desk_done(CollateralDesk *d);
/* As HttpdHandler. */
int collateral_desk_answer(void *userdata, const HttpdRequest *q, HttpdAnswer *ret);
/* Puts into the queue what is due: revocation lists before they expire, and what is prefetched. */
_warn_unused_result_ int collateral_desk_ahead(CollateralDesk *d);

/* Intel's answer as the PCS gives it, with its issuer chain. */
_warn_unused_result_ int collateral_intel_hand_out(
                const CollateralRequest *q, const SnpKdsKept *k, HttpdAnswer *ret);
