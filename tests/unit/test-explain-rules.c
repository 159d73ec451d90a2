/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A rule of `cvmspawn explain` that can match nothing that its source prints is a mistake: each one is held against the format
 * strings of tests/golden/explain/formats.txt. */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "test.h"

#include "explain-rules.h"
#include "fd.h"
#include "strutil.h"

#define LITERAL_MIN 6u /* characters of a rule's text that stand in the format itself */

static char *formats;

/* The end of the conversion at p ("%-08llx"). */
static const char *conversion_end(const char *p) {
        p++;
        while (*p && strchr("-+ #0123456789.*$", *p))
                p++;
        while (*p && strchr("hlzjt", *p))
                p++;
        return *p ? p + 1 : p;
}

static bool converts_to(char conversion, char c) {
        switch (conversion) {
        case 'd':
        case 'i':
                return isdigit((unsigned char) c) || c == '-';
        case 'u':
                return isdigit((unsigned char) c);
        case 'x':
        case 'p':
                return isxdigit((unsigned char) c) || c == 'x';
        default:
                return true; /* text */
        }
}

/* Can the text, from here, be what the format, from here, prints? *literal counts the characters that stand in the format. */
static bool matches_here(const char *format, const char *text, unsigned literal, unsigned *best) {
        const char *end;

        if (!*text) {
                *best = *best > literal ? *best : literal;
                return true;
        }
        if (!*format)
                return false;
        if (format[0] == '%' && format[1] == '%')
                return *text == '%' && matches_here(format + 2, text + 1, literal + 1, best);
        if (*format != '%')
                return *text == *format && matches_here(format + 1, text + 1, literal + 1, best);
        end = conversion_end(format);
        bool found = matches_here(end, text, literal, best);
        /* Not every character of a number or name is tried as literal: the conversion takes one more, and stays. */
        if (converts_to(end[-1], *text))
                found = matches_here(format, text + 1, literal, best) || found;
        return found;
}

static unsigned matched(const char *format, const char *text) {
        unsigned best = 0;

        for (const char *p = format; *p; p = *p == '%' ? conversion_end(p) : p + 1)
                (void) matches_here(p, text, 0, &best);
        return best;
}

static bool fits(const ExplainRule *rule, const char *format) {
        size_t n = strlen(rule->text);
        unsigned best = matched(format, rule->text);

        if (best < LITERAL_MIN && best < n)
                return false;
        if (!rule->second)
                return true;
        /* The second text may be what a conversion prints: an errno's text, a number. */
        for (const char *p = format; *p; p = *p == '%' ? conversion_end(p) : p + 1) {
                unsigned ignored = 0;

                if (matches_here(p, rule->second, 0, &ignored))
                        return true;
        }
        return false;
}

/* The same for a format with {one|other}: one of them fits. */
static bool fits_any(const ExplainRule *rule, const char *format) {
        const char *open = strchr(format, '{'), *close = open ? strchr(open, '}') : NULL;

        if (!close || !memchr(open, '|', (size_t) (close - open)))
                return fits(rule, format);
        for (const char *word = open + 1; word < close; word += strcspn(word, "|}") + 1) {
                _cleanup_free_ char *one = NULL;

                assert_true(asprintf(&one, "%.*s%.*s%s", (int) (open - format), format,
                                            (int) strcspn(word, "|}"), word, close + 1) >= 0);
                if (fits_any(rule, one))
                        return true;
        }
        return false;
}

static void check_rule(const ExplainRule *rule) {
        _cleanup_free_ char *copy = strdup(formats);
        char *rest = copy, *line;

        assert_non_null(copy);
        while ((line = strsep(&rest, "\n"))) {
                char *source = strsep(&line, "\t"), *version = strsep(&line, "\t");

                if (*source == '#' || !version || !line)
                        continue;
                if (streq(source, rule->source) && fits_any(rule, line))
                        return;
        }
        fail_msg("'%s' (with '%s') matches no format of '%s'", rule->text, rule->second ?: "", rule->source);
}

static const struct {
        const ExplainRule *rules;
        const size_t *n;
} tables[] = {
        { explain_qemu, &explain_qemu_n },
        { explain_host, &explain_host_n },
        { explain_guest, &explain_guest_n },
        { explain_others, &explain_others_n },
        { explain_qemu_line, &explain_qemu_line_n },
};

static void every_rule_can_match(_unused_ void **state) {
        for (size_t t = 0; t < ELEMENTSOF(tables); t++)
                FOREACH_ARRAY(r, tables[t].rules, *tables[t].n) {
                        check_rule(r);
                        assert_int_equal(r->sentence == NULL, r->rank == EXPLAIN_MISLEADING);
                }
}

/* A rule behind one that always fits first is never reached. */
static void no_rule_hides_another(_unused_ void **state) {
        for (size_t t = 0; t < ELEMENTSOF(tables); t++)
                for (size_t i = 0; i < *tables[t].n; i++)
                        for (size_t k = 0; k < i; k++) {
                                const ExplainRule *early = tables[t].rules + k, *late = tables[t].rules + i;

                                if (strstr(late->text, early->text) && !early->second)
                                        fail_msg("'%s' hides '%s'", early->text, late->text);
                        }
}

static void rules_that_cannot_match_are_found(_unused_ void **state) {
        static const ExplainRule good = { "kvm run failed", NULL, EXPLAIN_CAUSE, "", "" };
        static const ExplainRule bad = { "kvm run faild", NULL, EXPLAIN_CAUSE, "", "" };
        static const ExplainRule far = { "Failed to open /dev/sev", "No such file", EXPLAIN_CAUSE, "", "" };

        assert_true(fits(&good, "error: kvm run failed %s"));
        assert_false(fits(&bad, "error: kvm run failed %s"));
        assert_false(fits(&bad, "%s%s")); /* text that comes only from conversions proves nothing */
        assert_true(fits_any(&(const ExplainRule) { "up: only x", "nly", EXPLAIN_CAUSE, "", "" },
                        "%s up: {one|only} %s"));
        assert_false(fits_any(&(const ExplainRule) { "up: other", NULL, EXPLAIN_CAUSE, "", "" },
                        "%s up: {one|only} %s"));
        assert_true(fits(&far, "%s: Failed to open %s '%s'"));
        assert_false(fits(&far, "%s: Failed to open %d"));
        assert_true(fits(&(const ExplainRule) { "ret=-22", NULL, EXPLAIN_CAUSE, "", "" },
                                    "X ret=%d fw=%d") == false); /* too little of it is literal */
        assert_true(fits(&(const ExplainRule) { "START ret=-22", NULL, EXPLAIN_CAUSE, "", "" },
                        "START ret=%d fw=%d"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(rules_that_cannot_match_are_found),
                cmocka_unit_test(every_rule_can_match),
                cmocka_unit_test(no_rule_hides_another),
        };
        const char *source = getenv("CVMSPAWN_SOURCE");
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/tests/golden/explain/formats.txt", source ?: ".") < 0 ||
                        file_read_all(path, 1024u * 1024u, &formats, NULL) < 0) {
                fprintf(stderr, "cannot read %s\n", path ?: "the formats");
                return 1;
        }
        int r = cmocka_run_group_tests(tests, NULL, NULL);
        free(formats);
        return r;
}
