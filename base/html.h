/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A page for people: one file without scripts, fonts or pictures from elsewhere; light and dark, on paper and on a narrow screen. What comes from
 * outside is escaped to the letter. */

#include "strutil.h"

typedef enum HtmlTone {
        HTML_PLAIN,
        HTML_GOOD,
        HTML_WARNING,
        HTML_BAD,
        _HTML_TONE_MAX,
} HtmlTone;

void html_begin(Text *t, const char *title);
/* A heading with a verdict, in its colour and in words. */
void html_verdict(Text *t, HtmlTone tone, const char *verdict, const char *about);
void html_heading(Text *t, const char *text);
void html_paragraph(Text *t, HtmlTone tone, const char *text);
/* A table of two columns: rows between begin and end. A NULL value is left out. */
void html_list_begin(Text *t);
void html_list_row(Text *t, const char *name, const char *value);
void html_list_end(Text *t);
/* A table with a heading row. */
void html_table_begin(Text *t, const char *const *names, size_t n);
void html_table_row(Text *t, const char *const *values, size_t n);
void html_table_end(Text *t);
void html_end(Text *t);
/* Escaped: markup, quotes, and characters that a page cannot hold. */
void html_put(Text *t, const char *s);
