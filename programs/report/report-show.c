/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>

#include "error.h"
#include "report.h"
#include "snp-report.h"
#include "strutil.h"

static int print_field(const SnpReport *report, const char *field, char **reterr) {
        _cleanup_free_ char *value = NULL, *names = NULL;
        int r;

        r = snp_report_field(report, field, &value);
        if (r == -ENOENT) {
                names = snp_report_field_names();
                return error_set(reterr, -EINVAL, "--field: unknown field '%s'; the fields are %s", field,
                                names ?: "");
        }
        if (r < 0)
                return r;
        return puts(value) < 0 ? -EIO : 0;
}

int report_show(const ReportArguments *a, char **words, char **reterr) {
        _cleanup_(report_file_done) ReportFile f = {};
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        SnpGeneration g, own;
        SnpReport report;
        int r;

        if (strv_length(words) != 1)
                return error_set(reterr, -EINVAL, "show: expected one report, see --help");
        r = report_file_read(words[0], &f, reterr);
        if (r < 0)
                return r;
        r = snp_report_decode(f.evidence.report, f.evidence.report_size, &report, reterr);
        if (r < 0)
                return error_prefix(reterr, r, "%s", words[0]);

        r = report_generation(a, &g, reterr);
        if (r < 0)
                return r;
        own = snp_report_generation(&report);
        if (own >= 0 && g >= 0 && own != g)
                return error_set(reterr, -EINVAL,
                                "%s: the CPUID in the report belongs to %s, not to %s; remove --generation",
                                words[0], snp_generation_product(own), snp_generation_product(g));
        if (g < 0)
                g = own;
        if (a->field)
                return print_field(&report, a->field, reterr);
        if (a->common.json) {
                r = snp_report_json(&report, g, &j);
                return r < 0 ? r : verb_print_json(j, a->common.style);
        }
        r = a->format && streq(a->format, "snpguest") ? snp_report_text_snpguest(&report, g, &text)
                                                      : snp_report_text(&report, g, &text);
        if (r < 0)
                return r;
        return fputs(text, stdout) < 0 ? -EIO : 0;
}
