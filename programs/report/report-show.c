/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>

#include "error.h"
#include "report.h"
#include "snp-report.h"
#include "strutil.h"
#include "td-quote.h"

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

/* --- Intel TDX ----------------------------------------------------------------------------------------------------------- */

static int print_quote(const ReportArguments *a, const TdQuote *q, char **reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_js_ Json *j = NULL;
        int r;

        if (a->generation || a->format)
                return error_set(reterr, -EINVAL, "--generation and --format are for SEV-SNP reports");
        if (a->field) {
                r = td_quote_field(q, a->field, &text);
                if (r == -ENOENT)
                        return error_set(reterr, -EINVAL,
                                        "--field: a TD's quote has no field '%s'; the fields are measurement (MRTD), report-data, policy (attributes), version",
                                        a->field);
                return r < 0 ? r : puts(text) < 0 ? -EIO : 0;
        }
        if (a->common.json) {
                r = td_quote_json(q, &j);
                return r < 0 ? r : verb_print_json(j, a->common.style);
        }
        r = td_quote_text(q, &text);
        return r < 0 ? r : fputs(text, stdout) < 0 ? -EIO : 0;
}

/* 1: shown; 0: not a TD's evidence. */
static int show_quote(const ReportArguments *a, const char *path, char **reterr) {
        _cleanup_free_ char *data = NULL;
        TdQuote q;
        size_t size;
        int r = report_quote_read(path, &data, &size);

        if (r <= 0)
                return r;
        r = td_quote_parse((const uint8_t *) data, size, &q, reterr);
        if (r < 0)
                return error_prefix(reterr, -EINVAL,
                                "'%s': not a SEV-SNP report: it looks like an Intel TDX quote, but", path);
        r = print_quote(a, &q, reterr);
        return r < 0 ? r : 1;
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
        if (a->format && streq(a->format, "ear"))
                return error_set(reterr, -EINVAL, "show: --format=ear is a verdict, which verify gives");
        r = show_quote(a, words[0], reterr);
        if (r != 0)
                return r < 0 ? r : 0;
        r = report_input_check(words[0], reterr);
        if (r >= 0)
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
