/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lists of numbers and CPUs as people type them. */

#include <stddef.h>
#include <stdint.h>

#include "crypto-hash.h"
#include "macro.h"
#include "measure-request.h"

/* "1-64,128": ascending, without repetition; *ret is owned. */
_warn_unused_result_ int parse_vcpus(const char *text, unsigned **ret, size_t *ret_n, char **reterr);
/* "EPYC-v4,EPYC-Milan": names and host. */
_warn_unused_result_ int parse_cpu_names(const char *text, MeasureCpu **ret, size_t *ret_n, char **reterr);
/* "0x800f12,10489617" or "from:REPORT", an attestation report that knows its CPU (version 3 and later). */
_warn_unused_result_ int parse_cpu_signatures(
                const char *text, MeasureCpu **ret, size_t *ret_n, char **reterr);
