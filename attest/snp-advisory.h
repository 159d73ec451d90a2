/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What was published about a processor generation and makes its reports worth less, whatever firmware it runs: as data, with
 * sources. It changes no verdict; it is said with each one until the relying party's policy acknowledges it by name. */

#include <stdbool.h>
#include <stddef.h>

#include "macro.h"
#include "snp-generation.h"

typedef struct SnpAdvisory {
        const char *name; /* "arXiv:2605.12990" */
        SnpGeneration generation;
        const char *published; /* year and month */
        const char *text;      /* what it means for a report */
} SnpAdvisory;

const SnpAdvisory *snp_advisories(size_t *ret_n);
/* By name, in any case; NULL if it is not known here. */
const SnpAdvisory *snp_advisory_find(const char *name);
