/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "attestd-scheme.h"

#include <errno.h>

#include "attestd-guest.h"
#include "attestd-sev.h"
#include "error.h"
#include "snp-report.h"
#include "strutil.h"

/* Linux has room for 16 KiB, and a body for twice as much. */
#define TDX_REPORT_SIZE_MAX (32u * 1024)

static const Scheme schemes[] = {
        {
                        .mode = COCO_SEV,
                        .parse = registration_parse_sev,
                        .table = registration_table_sev,
                        .done = registration_done_sev,
                        .computed = registration_computed_sev,
                        .digests = digests_sev,
                        .launch = sev_launch,
                        .validate = sev_validate,
        },
        {
                        .mode = COCO_SEV_ES,
                        .parse = registration_parse_sev,
                        .table = registration_table_sev,
                        .done = registration_done_sev,
                        .computed = registration_computed_sev,
                        .digests = digests_sev_es,
                        .launch = sev_launch,
                        .validate = sev_validate,
        },
        {
                        .mode = COCO_SEV_SNP,
                        .parse = registration_parse_snp,
                        .table = registration_table_snp,
                        .done = registration_done_snp,
                        .computed = registration_computed_snp,
                        .digests = digests_snp,
                        .launch = guest_launch,
                        .validate = guest_validate,
                        .judge = snp_judge,
                        .report_size_min = SNP_REPORT_SIZE,
                        .report_size_max = SNP_REPORT_SIZE,
        },
        {
                        .mode = COCO_TDX,
                        .parse = registration_parse_tdx,
                        .table = registration_table_snp,
                        .done = registration_done_tdx,
                        .launch = guest_launch,
                        .validate = guest_validate,
                        .judge = tdx_judge,
                        .report_size_min = 1,
                        .report_size_max = TDX_REPORT_SIZE_MAX,
        },
};

const Scheme *scheme_of(CocoMode mode) {
        FOREACH_ARRAY(s, schemes, ELEMENTSOF(schemes))
                if (s->mode == mode)
                        return s;
        return NULL;
}

int registration_parse(const Json *j, bool with_secrets, Registration *ret, char **reterr) {
        _cleanup_(text_done) Text names = {};
        const Scheme *s;

        if (!js_is_object(j))
                return error_set(reterr, -EINVAL, "expected a JSON object");
        s = scheme_of(coco_mode_from_scheme(js_string_value(js_get(j, "scheme")) ?: ""));
        if (!s) {
                FOREACH_ARRAY(one, schemes, ELEMENTSOF(schemes))
                        text_putf(&names, "%s%s",
                                        one == schemes                                             ? ""
                                                        : one == schemes + ELEMENTSOF(schemes) - 1 ? " or "
                                                                                                   : ", ",
                                        coco_of(one->mode)->scheme);
                return error_set(reterr, -EINVAL, "scheme: expected %s", names.data ?: "");
        }
        return s->parse(j, s, with_secrets, ret, reterr);
}

int registration_table(const Registration *r, SecretBuf *ret, char **reterr) {
        return scheme_of(r->mode)->table(r, ret, reterr);
}
