/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The addresses of AMD's key service (publication 57230, "VCEK Certificate and KDS Interface Specification"), as its clients write them:
 *
 *      /vcek/v1/PRODUCT/HWID?blSPL=N&teeSPL=N&snpSPL=N&ucodeSPL=N[&fmcSPL=N]     in any order, with leading zeros or without
 *      /vcek/v1/PRODUCT/cert_chain, /vcek/v1/PRODUCT/crl, and the same with /vlek/
 *
 * and of Intel's PCS (version 4), those of td-pcs.h: /tdx/certification/v4/tcb?fmspc=FMSPC, /tdx/certification/v4/qe/identity,
 * /sgx/certification/v4/pckcrl?ca=platform|processor&encoding=der, /IntelSGXRootCA.der.
 *
 * All spellings of one thing have one name, so that it is fetched once. */

#include "snp-kds.h"
#include "td-pcs.h"

#define COLLATERAL_TARGET_MAX 512u /* a VCEK's has 200 characters */

typedef enum CollateralService {
        COLLATERAL_AMD,   /* AMD's key service */
        COLLATERAL_INTEL, /* Intel's PCS */
        _COLLATERAL_SERVICE_MAX,
} CollateralService;

typedef struct CollateralRequest {
        CollateralService service;
        TdPcsItem pcs; /* Intel's; the two below are AMD's */
        SnpKdsKind kind;
        SnpGeneration generation;
        char *name; /* owned: of the file in the cache */
        char *path; /* owned: as we write it to the key service */
} CollateralRequest;

void collateral_request_done(CollateralRequest *q);
/* -ENOENT with an error message: the key service has no such address, or none that a mirror can ask for; -EINVAL: the numbers are not those of this
 * generation. */
_warn_unused_result_ int collateral_request_parse(const char *target, CollateralRequest *ret, char **reterr);
/* An answer of Intel's PCS. */
_warn_unused_result_ int collateral_request_intel(const TdPcsItem *item, CollateralRequest *ret);
/* A chain or a revocation list. */
_warn_unused_result_ int collateral_request_of(
                SnpKdsKind kind, SnpGeneration generation, CollateralRequest *ret);
/* What a VCEK, or a revocation list, is verified with. */
SnpKdsKind collateral_chain_of(SnpKdsKind kind);
