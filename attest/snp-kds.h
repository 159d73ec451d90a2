/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* AMD's key distribution service (publication 57230): what it calls things, and a disk cache in front of it. VCEKs and chains are kept for
 * ever, revocation lists until they say; everything from the cache is verified again at each use. Network, clock and
 * patience come from the caller. One request at a time on this machine: the service allows about one in ten seconds.
 *
 * Only what verifies up to a pinned root, under the name that it says it has, enters the cache or leaves it: an answer that does not, from a
 * mirror or from a cache of before, is not used, and a cached one is removed and fetched once more. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"
#include "snp-collateral.h"
#include "snp-report.h"
#include "snp-verify.h"

#define SNP_KDS_URL         "https://kdsintf.amd.com"
#define SNP_KDS_ORIGIN      "AMD's key service" /* of certificates in the pool */
#define SNP_KDS_ANSWER_MAX  (1024u * 1024u)
#define SNP_KDS_PATIENCE    30u  /* seconds that one verification waits for the service's rate limit */

typedef enum SnpKdsKind {
        SNP_KDS_VCEK,
        SNP_KDS_VCEK_CHAIN, /* ASK and ARK */
        SNP_KDS_VLEK_CHAIN, /* ASVK and ARK */
        SNP_KDS_VCEK_CRL,
        SNP_KDS_VLEK_CRL,
        _SNP_KDS_KIND_MAX,
        _SNP_KDS_KIND_INVALID = -22,
} SnpKdsKind;

typedef struct SnpKdsItem {
        SnpKdsKind kind;
        SnpGeneration generation;
        const SnpReport *report; /* for SNP_KDS_VCEK: chip and reported TCB */
} SnpKdsItem;

/* The path with its query ("/vcek/v1/Milan/0123...?blSPL=04&..."), and the name of the file in the cache. Owned. -ENODATA with an error
 * message if the chip is masked; -EBADMSG if the TCB is not of this generation. */
_warn_unused_result_ int snp_kds_path(const SnpKdsItem *item, char **ret, char **reterr);
_warn_unused_result_ int snp_kds_file(const SnpKdsItem *item, char **ret, char **reterr);

typedef struct SnpKds {
        const char *url;   /* borrowed; NULL: AMD's */
        const char *cache; /* borrowed; NULL: no cache */
        bool offline;      /* the cache only */
        SnpTrust *trust;   /* borrowed; NULL: nothing can be verified, so the cache is not used */
        bool unverified;   /* hand over what does not verify as well; it is never kept */
        int64_t now;       /* seconds since 1970, to judge revocation lists by */
        unsigned patience; /* seconds */
        /* 0 with the server's status and owned body, or -errno with an error message. NULL: offline. */
        int (*get)(void *userdata, const char *url, size_t max, unsigned *ret_status,
                        unsigned *ret_retry_after, uint8_t **ret, size_t *ret_size, char **reterr);
        int64_t (*clock)(void *userdata); /* seconds since 1970: for the rate limit */
        void (*wait)(void *userdata, unsigned seconds);
        void *userdata;
} SnpKds;

/* From the cache or the service into the pool: 0, -ENOENT with an error message if it is not available now, for any reason. */
_warn_unused_result_ int snp_kds_fetch(
                const SnpKds *k, const SnpKdsItem *item, SnpCollateral *pool, char **reterr);
/* Into the cache, for a caller that fetched it elsewhere: -EKEYREJECTED with an error message if it does not verify up to a pinned root under this
 * name; -ESTALE if it is a revocation list that is overdue, or older than the one in the cache. */
_warn_unused_result_ int snp_kds_store(
                const SnpKds *k, const char *name, const void *p, size_t n, char **reterr);

/* A file of the cache that verifies, for a caller that serves it to others: 0, -ENOENT, -ENOMEM. */
typedef struct SnpKdsKept {
        uint8_t *data; /* owned */
        size_t size;
        int64_t this_update, next_update; /* of a revocation list; else 0 and INT64_MAX */
        int64_t stored;                   /* when it was fetched */
} SnpKdsKept;
void snp_kds_kept_done(SnpKdsKept *k);
_warn_unused_result_ int snp_kds_load(const SnpKds *k, const char *name, SnpKdsKept *ret);

/* snp_verify(), again and again, with what was missing fetched into in->collateral in between, until there is a verdict or nothing more is
 * available; then the error message says why. A VCEK of another TCB or chip that came unasked, from the host's table or a directory, is
 * no reason to reject before the service was asked for the right one. */
_warn_unused_result_ int snp_kds_verify(const SnpKds *k, const SnpVerifyInput *in, SnpResult *ret);

/* What a caller that fetches elsewhere would have to fetch for a different verdict, in this order; *ret_n is 0 if nothing would help.
 * The items point into *result. */
#define SNP_KDS_ITEMS_MAX 2u
void snp_kds_missing(const SnpResult *result, SnpGeneration stated, SnpKdsItem ret[static SNP_KDS_ITEMS_MAX],
                size_t *ret_n);
