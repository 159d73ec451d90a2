/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "attestd-service.h"
#include "snp-collateral.h"
#include "snp-verify.h"

/* Adds the revocation list that this authentic result was reached without to the pool: 1, verify again; 0: nothing was added; -errno. A list that is missing, or
 * due for an update, is downloaded while nobody waits. */
_warn_unused_result_ int service_revocation(const Service *s, const SnpResult *result, SnpCollateral *pool);
