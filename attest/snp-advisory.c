/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "snp-advisory.h"

#include <strings.h>

static const SnpAdvisory advisories[] = {
        /* "Insecure Despite Proven Updated: Extracting the Root VCEK Seed on EPYC Milan via a Software-Only Attack", submitted 2026-05-13 */
        { "arXiv:2605.12990", SNP_MILAN, "2026-05",
                        "the host can extract the seed of a Milan chip's endorsement keys by software alone, and then sign reports for any firmware version" },
};

const SnpAdvisory *snp_advisories(size_t *ret_n) {
        *ret_n = ELEMENTSOF(advisories);
        return advisories;
}

const SnpAdvisory *snp_advisory_find(const char *name) {
        FOREACH_ARRAY(a, advisories, ELEMENTSOF(advisories))
                if (strcasecmp(a->name, name) == 0)
                        return a;
        return NULL;
}
