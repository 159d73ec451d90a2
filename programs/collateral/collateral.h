/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The daemon cvmspawn-collateral: its arguments, and the parts that its main file puts together. */

#include <stdbool.h>
#include <stdint.h>

#include "collateral-queue.h"
#include "macro.h"
#include "process.h"
#include "snp-kds.h"
#include "snp-trust.h"
#include "verb.h"

#define COLLATERAL_SOCKETS_MAX 8u

typedef struct CollateralArgs {
        char **listen, **prefetch;
        char *cache, *kds_url, *insecure_root;
        uint64_t interval, grace, refresh, patience; /* microseconds */
        bool offline;
        VerbCommon common;
} CollateralArgs;

/* The child that downloads. It does one thing at a time. */
typedef struct CollateralFetch {
        Process process;
        int fd; /* owned; -EBADF: nothing is downloaded */
} CollateralFetch;

#define COLLATERAL_FETCH_NONE ((CollateralFetch) { .process = PROCESS_NONE, .fd = -EBADF })

/* --cache=, $STATE_DIRECTORY, or the default; made if it is missing, for what fills it. *ret is owned. */
_warn_unused_result_ int collateral_cache(const CollateralArgs *a, bool make, char **ret, char **reterr);
/* AMD's roots, or the one of --insecure-root. */
_warn_unused_result_ int collateral_trust(const CollateralArgs *a, SnpTrust *ret, char **reterr);
/* The addresses in the files of --prefetch; *ret is owned. */
_warn_unused_result_ int collateral_read_prefetch(const CollateralArgs *a, char ***ret, char **reterr);

_warn_unused_result_ int collateral_serve(const CollateralArgs *a, char **reterr);
_warn_unused_result_ int collateral_export(const CollateralArgs *a, const char *path, char **reterr);
_warn_unused_result_ int collateral_import(const CollateralArgs *a, const char *path, char **reterr);
_warn_unused_result_ int collateral_list(const CollateralArgs *a, char **reterr);

/* Begins the child, before anything is confined. */
_warn_unused_result_ int collateral_fetch_start(
                const CollateralArgs *a, const char *cache, CollateralFetch *f, char **reterr);
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
