/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a PCK certificate says about its processor: the extension 1.2.840.113741.1.13.1 (Intel SGX PCK Certificate and Certificate Revocation List Profile
 * Specification). */

#include <stdint.h>

#include "crypto-x509.h"
#include "macro.h"

#define TD_FMSPC_SIZE     6u
#define TD_PCEID_SIZE     2u
#define TD_TCB_COMPONENTS 16u

typedef struct TdPck {
        uint8_t fmspc[TD_FMSPC_SIZE], pceid[TD_PCEID_SIZE];
        uint64_t svn[TD_TCB_COMPONENTS], pcesvn;
} TdPck;

/* -EBADMSG with an error message: the extension is missing, or is not as specified. */
_warn_unused_result_ int td_pck_read(const Certificate *c, TdPck *ret, char **reterr);
