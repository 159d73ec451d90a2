/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon cvmspawn-collateral: its arguments, and the parts that its main file puts together. */

#include <stdbool.h>
#include <stdint.h>

#include "collateral-queue.h"
#include "collateral-request.h"
#include "macro.h"
#include "process.h"
#include "snp-kds.h"
#include "snp-trust.h"
#include "verb.h"

#define COLLATERAL_SOCKETS_MAX 8u

typedef struct CollateralArgs {
        char **listen, **prefetch, **sign_keys, **signers;
        char *cache, *kds_url, *pcs_url, *insecure_root, *insecure_tdx_root;
        uint64_t interval, grace, refresh, patience, max_age; /* microseconds */
        bool offline;
        VerbCommon common;
} CollateralArgs;

/* The cache, and what is verified with: AMD's roots and Intel's, or those of --insecure-root and --insecure-tdx-root. */
typedef struct CollateralStore {
        char *cache; /* owned, as is the rest */
        SnpTrust trust;
        Certificate *intel;
} CollateralStore;

/* The cache of --cache=, $STATE_DIRECTORY, or the default. make: create it if it is missing. */
_warn_unused_result_ int collateral_store_open(
                const CollateralArgs *a, bool make, CollateralStore *s, char **reterr);
/* Creates the cache if it is missing. */
_warn_unused_result_ int collateral_store_make(const CollateralStore *s, char **reterr);
void collateral_store_done(CollateralStore *s);
/* As snp_kds_load() and td_pcs_load(). */
_warn_unused_result_ int collateral_store_load(const CollateralStore *s, const char *name, SnpKdsKept *ret);
/* As snp_kds_store() and td_pcs_store(). */
_warn_unused_result_ int collateral_store_put(
                const CollateralStore *s, const char *name, const void *p, size_t n, char **reterr);
/* The names of its files, in an order in which they can be imported; *ret is owned. */
_warn_unused_result_ int collateral_store_names(const CollateralStore *s, char ***ret, char **reterr);

/* The child that downloads from one of the services. It does one thing at a time. */
typedef struct CollateralFetch {
        Process process;
        int fd; /* owned; -EBADF: nothing is downloaded */
} CollateralFetch;

#define COLLATERAL_FETCH_NONE ((CollateralFetch) { .process = PROCESS_NONE, .fd = -EBADF })

/* The addresses in the files of --prefetch; *ret is owned. */
_warn_unused_result_ int collateral_read_prefetch(const CollateralArgs *a, char ***ret, char **reterr);

_warn_unused_result_ int collateral_serve(const CollateralArgs *a, char **reterr);
_warn_unused_result_ int collateral_export(const CollateralArgs *a, const char *path, char **reterr);
_warn_unused_result_ int collateral_import(const CollateralArgs *a, const char *path, char **reterr);
_warn_unused_result_ int collateral_list(const CollateralArgs *a, char **reterr);

/* Begins the child, before anything is confined. before: the one that was begun before, or NULL. */
_warn_unused_result_ int collateral_fetch_start(const CollateralArgs *a, const CollateralStore *store,
                const CollateralFetch *before, CollateralFetch *f, char **reterr);
void collateral_fetch_done(CollateralFetch *f);
_warn_unused_result_ int collateral_fetch_send(const CollateralFetch *f, const CollateralEntry *e);

typedef struct CollateralFetched {
        char name[COLLATERAL_NAME_MAX];
        CollateralOutcome outcome;
        uint64_t msec; /* when to ask again, as the key service says; 0: not said */
        char why[256]; /* for the log; "" if it was stored */
} CollateralFetched;

/* 1: *ret is how the fetch ended; 0: it goes on; -EPIPE: the child is gone. */
_warn_unused_result_ int collateral_fetch_receive(const CollateralFetch *f, CollateralFetched *ret);
