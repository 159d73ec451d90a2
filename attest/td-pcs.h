/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Intel's Provisioning Certification Service (Intel SGX and Intel TDX Provisioning Certification Service API, version 4): where its statements about TDX machines are,
 * and the same disk cache as in front of AMD's key service (snp-kds.h). Statements and lists are kept until they say; everything from the cache is verified
 * again at each use. Network, clock and patience come from the caller.
 *
 * Only what verifies up to the root, under the name that it says it has, enters the cache or leaves it. A file of it is the issuer chain, which the service sends in a
 * header, as PEM, and then the answer as it was received; the root's list is bare, since the service sends no chain with it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"
#include "td-collateral.h"
#include "td-pck.h"
#include "td-verify.h"

#define TD_PCS_URL        "https://api.trustedservices.intel.com"
#define TD_PCS_ROOT_URL   "https://certificates.trustedservices.intel.com" /* has the root's list */
#define TD_PCS_ORIGIN     "Intel's PCS"
#define TD_PCS_ANSWER_MAX (1024u * 1024u)
#define TD_PCS_HEADER_MAX (32u * 1024u) /* a chain of two has 2.5 KiB */
#define TD_PCS_FILE_MAX   (TD_PCS_ANSWER_MAX + TD_PCS_HEADER_MAX)
#define TD_PCS_PATIENCE   30u /* seconds that one verification waits for a service that limits the rate */

typedef enum TdPcsKind {
        TD_PCS_TCB_INFO,      /* of one kind of processor */
        TD_PCS_QE_IDENTITY,   /* of the quoting enclave for TDs */
        TD_PCS_PLATFORM_CRL,  /* of the Platform CA */
        TD_PCS_PROCESSOR_CRL, /* of the Processor CA */
        TD_PCS_ROOT_CRL,
        _TD_PCS_KIND_MAX,
        _TD_PCS_KIND_INVALID = -22,
} TdPcsKind;

typedef struct TdPcsItem {
        TdPcsKind kind;
        uint8_t fmspc[TD_FMSPC_SIZE]; /* for TD_PCS_TCB_INFO */
} TdPcsItem;

/* "/tdx/certification/v4/tcb?fmspc=00806F050000", and the name of the file in the cache. Owned. -ENOMEM. */
_warn_unused_result_ int td_pcs_path(const TdPcsItem *item, char **ret);
_warn_unused_result_ int td_pcs_file(const TdPcsItem *item, char **ret);
/* The reverse: -ENOENT, it is not a path or a file of these. A path in any spelling that the service takes. */
_warn_unused_result_ int td_pcs_path_parse(const char *path, TdPcsItem *ret);
_warn_unused_result_ int td_pcs_file_parse(const char *name, TdPcsItem *ret);
/* The whole address; `url` in place of Intel's. Owned. */
_warn_unused_result_ int td_pcs_address(const TdPcsItem *item, const char *url, char **ret);
/* The header that the issuer chain comes in; NULL: none. */
const char *td_pcs_header(TdPcsKind kind);

/* What a request brought. */
typedef struct TdPcsAnswer {
        unsigned status, retry_after; /* seconds; 0: not said */
        uint8_t *body;                /* owned */
        size_t size;
        char *header; /* owned; NULL: it was not there */
} TdPcsAnswer;

/* A file of the cache in its parts. */
typedef struct TdPcsForm {
        const char *chain; /* borrowed, as is `body`: PEM */
        const void *body;
        size_t chain_size, body_size;
        Certificate *issuer, *root; /* owned; NULL: without a chain */
} TdPcsForm;

void td_pcs_form_done(TdPcsForm *f);
_warn_unused_result_ int td_pcs_form_read(TdPcsKind kind, const void *p, size_t n, TdPcsForm *ret);
/* The value of the header as PEM: the issuer, then the root. Owned. -EBADMSG with an error message: not two certificates. */
_warn_unused_result_ int td_pcs_chain_read(const char *header, char **ret, char **reterr);
/* The reverse: percent-encoded. Owned; NULL: out of memory. */
char *td_pcs_chain_encode(const char *chain, size_t n);
/* Header and answer as a file of the cache, which may be anything still. -EBADMSG with an error message. */
_warn_unused_result_ int td_pcs_form_write(
                TdPcsKind kind, const TdPcsAnswer *a, char **ret, size_t *ret_size, char **reterr);

typedef struct TdPcs {
        const char *url;         /* borrowed; NULL: Intel's */
        const char *cache;       /* borrowed; NULL: no cache */
        bool offline;            /* the cache only */
        const Certificate *root; /* borrowed: the pinned one */
        int64_t now;             /* seconds since 1970: the time of verification */
        unsigned patience;       /* seconds */
        /* 0 with the server's answer, or -errno with an error message. NULL: offline. header: which one is wanted, or NULL. */
        int (*get)(void *userdata, const char *url, const char *header, size_t max, TdPcsAnswer *ret,
                        char **reterr);
        int64_t (*clock)(void *userdata);
        void (*wait)(void *userdata, unsigned seconds);
        void *userdata;
} TdPcs;

/* From cache or service into the pool: 0, -ENOENT with an error message if it is not available now, for any reason. A list of the cache
 * that is overdue goes into the pool even then: what it revokes is revoked. */
_warn_unused_result_ int td_pcs_fetch(
                const TdPcs *k, const TdPcsItem *item, TdCollateral *pool, char **reterr);

/* The root certificate that lists and chains are verified with, where no quote brings it: the one in these bytes instead of Intel's, for simulated machines
 * (-EINVAL with an error message if it is not exactly one), or with NULL Intel's. Owned. */
_warn_unused_result_ int td_pcs_root(
                const void *data, size_t size, const char *path, Certificate **ret, char **reterr);

/* A file of the cache that verifies: 0, -ENOENT, -ENOMEM. */
typedef struct TdPcsKept {
        char *data; /* owned */
        size_t size;
        int64_t this_update, next_update;
        int64_t stored; /* when it was fetched */
} TdPcsKept;
void td_pcs_kept_done(TdPcsKept *k);
_warn_unused_result_ int td_pcs_load(const TdPcs *k, const char *name, TdPcsKept *ret);
/* A file into the cache: -EKEYREJECTED with an error message if it does not verify up to the root under this name; -ESTALE if it is not current at k->now, or
 * the cache has a newer one. */
_warn_unused_result_ int td_pcs_store(
                const TdPcs *k, const char *name, const void *p, size_t n, char **reterr);

/* td_verify(), again and again, with what was missing fetched in between, as snp_kds_verify(). Lists come along when something else is fetched, or if the mode
 * requires them. k->root is not used: it is the quote's, which td_verify() compares with the pinned one. */
_warn_unused_result_ int td_pcs_verify(const TdPcs *k, const TdVerifyInput *in, TdResult *ret);

/* What would have to be fetched for a different verdict; *ret_n is 0 if nothing would help. */
#define TD_PCS_ITEMS_MAX 4u
void td_pcs_missing(const TdResult *result, SnpCrlMode crl, TdPcsItem ret[static TD_PCS_ITEMS_MAX],
                size_t *ret_n);
