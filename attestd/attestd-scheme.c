/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-scheme.h"

#include <errno.h>

#include "attestd-sev.h"
#include "error.h"

static const Scheme schemes[] = {
        {
                        .mode = COCO_SEV,
                        .parse = registration_parse_sev,
                        .table = registration_table_sev,
                        .digests = digests_sev,
                        .launch = sev_launch,
                        .validate = sev_validate,
        },
        {
                        .mode = COCO_SEV_ES,
                        .parse = registration_parse_sev,
                        .table = registration_table_sev,
                        .digests = digests_sev_es,
                        .launch = sev_launch,
                        .validate = sev_validate,
        },
        {
                        .mode = COCO_SEV_SNP,
                        .parse = registration_parse_snp,
                        .table = registration_table_snp,
                        .digests = digests_snp,
                        .launch = snp_launch,
                        .validate = snp_validate,
        },
};

const Scheme *scheme_of(CocoMode mode) {
        FOREACH_ARRAY(s, schemes, ELEMENTSOF(schemes))
                if (s->mode == mode)
                        return s;
        return NULL;
}

int registration_parse(const Json *j, bool with_secrets, Registration *ret, char **reterr) {
        const Scheme *s;

        if (!js_is_object(j))
                return error_set(reterr, -EINVAL, "expected a JSON object");
        s = scheme_of(coco_mode_from_scheme(js_string_value(js_get(j, "scheme")) ?: ""));
        if (!s)
                return error_set(reterr, -EINVAL, "scheme: expected amd-sev, amd-sev-es or amd-sev-snp");
        return s->parse(j, s->mode, with_secrets, ret, reterr);
}

int registration_table(const Registration *r, SecretBuf *ret, char **reterr) {
        return scheme_of(r->mode)->table(r, ret, reterr);
}
