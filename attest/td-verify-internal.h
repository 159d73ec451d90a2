/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* For td-verify*.c only. */

#include "date.h"
#include "td-verify.h"

#define TD_SIGNER       "Intel SGX TCB Signing"
#define TD_PLATFORM_CA  "Intel SGX PCK Platform CA"
#define TD_PROCESSOR_CA "Intel SGX PCK Processor CA"

/* A step's answer: 1 go on, 0 the verdict is in *r, negative: no verdict. */
int td_fail(TdResult *r, Verdict v, TdStep s, const char *format, ...) _printf_(4, 5);

/* May it sign certificates, with so many issuers below it? */
bool td_is_issuer(const Certificate *c, uint64_t below);
/* 1 if a genuine list of the issuer's holds the certificate, however old the list is. *ret_current: a genuine list covers the time of verification. */
int td_is_revoked(
                const TdVerifyInput *in, const Certificate *issuer, const Certificate *c, bool *ret_current);

int td_step_collateral(const TdVerifyInput *in, TdResult *r);
int td_step_qe_identity(const TdVerifyInput *in, TdResult *r);
int td_step_module(const TdVerifyInput *in, TdResult *r);
