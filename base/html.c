/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "html.h"

/* Colours have a contrast of at least 4.5 to 1 (WCAG 2.1, AA) on their grounds; the test computes it. */
static const char style[] =
                ":root{--ground:#ffffff;--text:#1b1f24;--faint:#57606a;--line:#d0d7de;--good:#116329;--warning:#7d4e00;--bad:#a40e26}\n"
                "@media (prefers-color-scheme:dark){:root{--ground:#0d1117;--text:#e6edf3;--faint:#9da7b3;--line:#3d444d;--good:#56d364;--warning:#e3b341;--bad:#ff7b72}}\n"
                "@media print{:root{--ground:#ffffff;--text:#000000;--faint:#333333;--line:#999999;--good:#0b4a1e;--warning:#5c3900;--bad:#7d0a1d}}\n"
                "body{background:var(--ground);color:var(--text);font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem}\n"
                "h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0;overflow-wrap:anywhere}\n"
                "h2{font-size:1.125rem;margin:1.5rem 0 .5rem;border-bottom:1px solid var(--line)}\n"
                "p{margin:.25rem 0;overflow-wrap:anywhere}\n"
                ".good{color:var(--good)}.warning{color:var(--warning)}.bad{color:var(--bad)}.about{color:var(--faint)}\n"
                "table{border-collapse:collapse;width:100%;table-layout:fixed}\n"
                "th,td{text-align:left;vertical-align:top;padding:.25rem .5rem .25rem 0;border-bottom:1px solid var(--line);overflow-wrap:anywhere}\n"
                "th{font-weight:600;color:var(--faint)}\n"
                ".list th{width:30%}\n"
                "td{font-family:ui-monospace,monospace;font-size:.875rem}\n"
                "@media print{tr,h2{break-inside:avoid}}\n";

static const char *const tones[] = {
        [HTML_PLAIN] = "plain",
        [HTML_GOOD] = "good",
        [HTML_WARNING] = "warning",
        [HTML_BAD] = "bad",
};
static_assert(ELEMENTSOF(tones) == _HTML_TONE_MAX, "every tone has a class");

void html_put(Text *t, const char *s) {
        /* Control characters have no place in a page, as text or as references (HTML, section 13.2.3.5). */
        for (; s && *s; s++)
                if ((unsigned char) *s >= ' ' && *s != 0x7f)
                        text_put_escaped(t, *s);
                else
                        text_put(t, *s == '\n' || *s == '\t' ? " " : "\xef\xbf\xbd");
}

void html_begin(Text *t, const char *title) {
        text_put(t,
                        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
                        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                        "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
        html_put(t, title);
        text_put(t, "</title>\n<style>\n");
        text_put(t, style);
        text_put(t, "</style>\n</head>\n<body>\n");
}

void html_verdict(Text *t, HtmlTone tone, const char *verdict, const char *about) {
        text_putf(t, "<h1 class=\"%s\">", tones[tone]);
        html_put(t, verdict);
        text_put(t, "</h1>\n");
        if (!about)
                return;
        text_put(t, "<p class=\"about\">");
        html_put(t, about);
        text_put(t, "</p>\n");
}

void html_heading(Text *t, const char *text) {
        text_put(t, "<h2>");
        html_put(t, text);
        text_put(t, "</h2>\n");
}

void html_paragraph(Text *t, HtmlTone tone, const char *text) {
        text_putf(t, "<p class=\"%s\">", tones[tone]);
        html_put(t, text);
        text_put(t, "</p>\n");
}

void html_list_begin(Text *t) {
        text_put(t, "<table class=\"list\">\n");
}

void html_list_row(Text *t, const char *name, const char *value) {
        if (!value)
                return;
        text_put(t, "<tr><th scope=\"row\">");
        html_put(t, name);
        text_put(t, "</th><td>");
        html_put(t, value);
        text_put(t, "</td></tr>\n");
}

void html_list_end(Text *t) {
        text_put(t, "</table>\n");
}

static void put_cells(Text *t, const char *tag, const char *const *cells, size_t n) {
        text_put(t, "<tr>");
        FOREACH_ARRAY(cell, cells, n) {
                text_putf(t, "<%s>", tag);
                html_put(t, *cell);
                text_putf(t, "</%s>", tag);
        }
        text_put(t, "</tr>\n");
}

void html_table_begin(Text *t, const char *const *names, size_t n) {
        text_put(t, "<table>\n");
        put_cells(t, "th", names, n);
}

void html_table_row(Text *t, const char *const *values, size_t n) {
        put_cells(t, "td", values, n);
}

void html_table_end(Text *t) {
        text_put(t, "</table>\n");
}

void html_end(Text *t) {
        text_put(t, "</body>\n</html>\n");
}
