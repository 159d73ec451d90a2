/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-wrap.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

void foreign_wrap_done(ForeignWrap *w) {
        free(w->inner);
        *w = (ForeignWrap) {};
}

static int take(const char *s, const char *end, bool raw, ForeignWrap *ret) {
        ret->inner = strndup(s, (size_t) (end - s));
        ret->used = (size_t) (end - s) + 1;
        ret->raw = raw;
        return ret->inner ? 1 : -ENOMEM;
}

/* The list ends with the last bracket of the line. */
static int unwrap_brackets(const char *s, ForeignWrap *ret, char **reterr) {
        const char *end = memrchr(s, ']', strcspn(s, "\n"));

        if (!end)
                return error_set(reterr, -EINVAL,
                                "the list of arguments is not closed: the line is truncated");
        return take(s, end, /* raw= */ true, ret);
}

static int refuse_quotes(const char *s, char **reterr) {
        return error_set(reterr, -EINVAL,
                        "the command line is an argument of another command, or text in quotes, and '%.20s' in it has several meanings: "
                        "pass the inner command line alone",
                        s);
}

/* One byte, or what stands for a quote inside of quotes, into *t; *s moves. */
static int take_quoted(const char **s, char quote, Text *t, char **reterr) {
        static const char *const single[] = { "'\"'\"'", "'\\''" };
        const char *c = *s;

        for (size_t i = 0; quote == '\'' && i < ELEMENTSOF(single); i++)
                if (startswith(c, single[i])) {
                        text_put(t, "'");
                        *s = c + strlen(single[i]);
                        return 1;
                }
        if (*c == quote)
                return 0;
        if (quote == '"' && c[0] == '\\' && c[1] == '\n') {
                *s = c + 2;
                return 1;
        }
        if (quote == '"' && c[0] == '\\' && c[1] && strchr("\"\\$`", c[1]))
                c++;
        else if (*c == '\\' || (quote == '"' && (*c == '`' || (*c == '$' && isalnum((unsigned char) c[1])))))
                return refuse_quotes(c, reterr);
        text_put_n(t, c, 1);
        *s = c + 1;
        return 1;
}

/* 0 where the quote is not closed: then it is not one around the command. */
static int unwrap_quotes(const char *s, char quote, ForeignWrap *ret, char **reterr) {
        _cleanup_(text_done) Text t = {};
        const char *begin = s;
        int r = 1;

        while (r > 0 && *s)
                r = take_quoted(&s, quote, &t, reterr);
        if (r < 0 || *s != quote)
                return r < 0 && strchr(begin, quote) ? r : 0;
        if (isalnum((unsigned char) s[1]) || (s[1] && strchr("'\"\\$", s[1])))
                return refuse_quotes(s, reterr);
        r = text_finish(&t, &ret->inner);
        ret->used = (size_t) (s - begin) + 1;
        ret->raw = false;
        return r < 0 ? r : 1;
}

int foreign_unwrap(const char *text, const char *s, size_t length, ForeignWrap *ret, char **reterr) {
        const char *end;

        if (s == text)
                return 0;
        switch (s[-1]) {
        case '[':
                return unwrap_brackets(s, ret, reterr);
        case '`':
                end = strchr(s, '`');
                return end ? take(s, end, /* raw= */ false, ret) : 0;
        case '\'':
        case '"':
                return s[length] == s[-1] ? 0 : unwrap_quotes(s, s[-1], ret, reterr);
        default:
                return 0;
        }
}

bool foreign_is_unit(const char *text, const char *s) {
        static const char key[] = "ExecStart=";

        while (s > text && strchr("-:+!|", s[-1]))
                s--;
        return (size_t) (s - text) >= strlen(key) && memcmp(s - strlen(key), key, strlen(key)) == 0;
}

int foreign_check_unit(const char *s, size_t n, char **reterr) {
        for (size_t i = 0; i < n; i++)
                if (s[i] == '%' || s[i] == '$' || (s[i] == '\\' && i + 1 < n && s[i + 1] != '\n'))
                        return error_set(reterr, -EINVAL,
                                        "systemd replaces '%.10s' in ExecStart=: pass the command line of the running process instead (its number)",
                                        s + i);
        return 0;
}
