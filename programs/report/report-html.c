/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "report-html.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "date.h"
#include "refs-inputs.h"

static const char *text_of(const Json *o, const char *member) {
        return js_string_value(js_get(o, member));
}

static bool is_true(const Json *o, const char *member) {
        bool b;

        return js_bool_value(js_get(o, member), &b) >= 0 && b;
}

static void put_verdict(Text *t, const Json *j) {
        const char *verdict = text_of(j, "verdict") ?: "unverified";
        bool good = streq(verdict, "verified"), amd = is_true(j, "root-is-amd");
        _cleanup_(text_done) Text about = {};
        _cleanup_free_ char *s = NULL;

        text_put(&about, text_of(j, "file") ?: "report");
        if (text_of(j, "reason"))
                text_putf(&about, ": %s", text_of(j, "reason"));
        if (text_finish(&about, &s) < 0) {
                t->error = -ENOMEM;
                return;
        }
        html_verdict(t,
                        !good                 ? HTML_BAD
                                        : amd ? HTML_GOOD
                                              : HTML_WARNING,
                        good && !amd ? "verified against a root that is not AMD's" : verdict, s);
}

static void put_violations(Text *t, const Json *j) {
        static const char *const names[] = { "rule", "expected", "got" };
        const Json *list = js_get(j, "violations");

        if (js_length(list) == 0)
                return;
        html_heading(t, "Not met");
        html_table_begin(t, names, ELEMENTSOF(names));
        for (size_t i = 0; i < js_length(list); i++) {
                const Json *x = js_at(list, i);
                const char *const values[] = { text_of(x, "rule"), text_of(x, "expected"),
                        text_of(x, "got") };

                html_table_row(t, values, ELEMENTSOF(values));
        }
        html_table_end(t);
}

static void put_warnings(Text *t, const Json *j) {
        const Json *list = js_get(j, "advisories");

        for (size_t i = 0; i < js_length(list); i++) {
                const Json *x = js_at(list, i);
                _cleanup_(text_done) Text line = {};
                _cleanup_free_ char *s = NULL;

                text_putf(&line, "warning: %s: %s", text_of(x, "name"), text_of(x, "text"));
                if (text_finish(&line, &s) < 0)
                        t->error = -ENOMEM;
                html_paragraph(t, HTML_WARNING, s);
        }
}

static void put_reference(Text *t, const Json *j) {
        if (!text_of(j, "reference") && !text_of(j, "nearest"))
                return;
        html_heading(t, "Reference");
        html_list_begin(t);
        html_list_row(t, "found", text_of(j, "reference"));
        html_list_row(t, "expected of it", text_of(j, "reference-floor"));
        html_list_row(t, "nearest", text_of(j, "nearest"));
        html_list_end(t);
        if (js_get(j, "reference-inputs"))
                refs_inputs_html(t, js_get(j, "reference-inputs"));
}

static void put_certificate(Text *t, const char *what, const Json *c) {
        static const char *const members[] = { "subject", "product", "origin", "sha256", "spki-sha256",
                "hwid", "csp-id" };
        uint64_t until;

        if (!c)
                return;
        html_heading(t, what);
        html_list_begin(t);
        FOREACH_ARRAY(m, members, ELEMENTSOF(members))
                html_list_row(t, *m, text_of(c, *m));
        if (js_u64_value(js_get(c, "not-after"), &until) >= 0)
                html_list_row(t, "valid until", date_text((int64_t) until).text);
        html_list_end(t);
}

static int put_checks(Text *t, const Json *j) {
        const Json *waived = js_get(j, "not-checked");
        _cleanup_(text_done) Text list = {};
        _cleanup_free_ char *s = NULL;
        int r;

        if (!is_true(j, "authentic"))
                return 0;
        for (size_t i = 0; i < js_length(waived); i++)
                text_putf(&list, "%s%s", i > 0 ? ", " : "", js_string_value(js_at(waived, i)));
        r = text_finish(&list, &s);
        if (r < 0)
                return r;
        html_heading(t, "Checked");
        html_list_begin(t);
        html_list_row(t, "root",
                        is_true(j, "root-is-amd") ? "AMD's key, as compiled in" : "not AMD's: a test key");
        html_list_row(t, "signature", "good");
        html_list_row(t, "revocation", text_of(j, "revocation"));
        html_list_row(t, "bound to a chip", is_true(j, "bound-to-chip") ? "yes" : "no");
        html_list_row(t, "not checked", s);
        html_list_end(t);
        return 0;
}

/* Numbers, texts, and TCB versions by their parts, in the order of the JSON. */
static int put_field(Text *t, const char *name, const Json *v) {
        _cleanup_free_ char *text = js_string_value(v) ? NULL : js_text(v, JS_SHORT);

        if (!js_string_value(v) && !text)
                return -ENOMEM;
        html_list_row(t, name, js_string_value(v) ?: text);
        return 0;
}

static int put_fields(Text *t, const Json *report) {
        int r = 0;

        if (!js_is_object(report))
                return 0;
        html_heading(t, "Report");
        html_list_begin(t);
        for (void *i = js_iter(report); r >= 0 && i; i = js_iter_next(report, i))
                r = put_field(t, js_iter_key(i), js_iter_value(i));
        html_list_end(t);
        return r;
}

static int put_report(Text *t, const Json *j) {
        int r;

        put_verdict(t, j);
        put_warnings(t, j);
        put_violations(t, j);
        put_reference(t, j);
        r = put_checks(t, j);
        if (r < 0)
                return r;
        put_certificate(t, "Leaf certificate", js_get(j, "leaf"));
        put_certificate(t, "Intermediate certificate", js_get(j, "intermediate"));
        return put_fields(t, js_get(j, "report"));
}

int report_html_print(const Json *list) {
        _cleanup_(text_done) Text t = {};
        _cleanup_free_ char *page = NULL;
        int r = 0;

        html_begin(&t, "SEV-SNP attestation");
        for (size_t i = 0; r >= 0 && i < js_length(list); i++)
                r = put_report(&t, js_at(list, i));
        html_end(&t);
        if (r >= 0)
                r = text_finish(&t, &page);
        return r < 0 ? r : fputs(page, stdout) < 0 ? -EIO : 0;
}
