/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-words.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "error.h"
#include "foreign-escape.h"
#include "strutil.h"

void words_done(Words *w) {
        FOREACH_ARRAY(i, w->items, w->n_items)
                free(i->text);
        free(w->items);
        *w = (Words) {};
}

static int add(Words *w, Text *text, size_t begin, size_t end, bool quoted) {
        Word *items;
        char *s;
        int r = text_finish(text, &s);

        if (r < 0)
                return r;
        items = w->n_items < WORDS_MAX ? reallocarray(w->items, w->n_items + 1, sizeof(Word)) : NULL;
        if (!items) {
                free(s);
                return w->n_items < WORDS_MAX ? -ENOMEM : -E2BIG;
        }
        w->items = items;
        items[w->n_items++] = (Word) { .text = s, .begin = begin, .end = end, .quoted = quoted };
        return 0;
}

/* --- as bash reads ------------------------------------------------------------------------------------------------------- */

typedef struct Reader {
        const char *text, *at;
        Text word;
        bool quoted;
} Reader;

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\r';
}

static bool ends_word(char c) {
        return c == 0 || is_blank(c) || strchr("\n;|&<>()", c);
}

/* Characters that look like quotes, dashes or blanks and are none to a shell. */
static const struct {
        const char *bytes, *what;
} lookalikes[] = {
        { "\u2018", "a curly quote" },
        { "\u2019", "a curly quote" },
        { "\u201c", "a curly quote" },
        { "\u201d", "a curly quote" },
        { "\u201e", "a curly quote" },
        { "\u00ab", "an angle quote" },
        { "\u00bb", "an angle quote" },
        { "\u2013", "an en dash" },
        { "\u2014", "an em dash" },
        { "\u2212", "a minus sign that is not ASCII" },
        { "\u00a0", "a blank that is not ASCII" },
        { "\u2026", "an ellipsis (the line is truncated)" },
};

static int refuse_lookalike(const char *s, char **reterr) {
        FOREACH_ARRAY(l, lookalikes, ELEMENTSOF(lookalikes))
                if (startswith(s, l->bytes))
                        return error_set(reterr, -EINVAL,
                                        "there is %s at '%.40s', which a shell does not interpret: pass the line as it was typed, with ASCII quotes and dashes",
                                        l->what, s);
        return 0;
}

static int refuse_expansion(const char *s, char **reterr) {
        return error_set(reterr, -EINVAL,
                        "a shell would expand '%.40s', but its value is unknown here: replace it with the value",
                        s);
}

/* What follows a dollar sign that a shell expands. */
static bool expands(const char *s) {
        return isalnum((unsigned char) *s) || (*s && strchr("_{(@*#?!$-", *s));
}

static int read_double(Reader *c, char **reterr) {
        const char *begin = c->at;

        for (c->at++; *c->at != '"'; c->at++) {
                if (*c->at == 0)
                        return error_set(reterr, -EINVAL, "a quote (\") is not closed: %.40s", begin);
                if (*c->at == '`' || (*c->at == '$' && expands(c->at + 1)))
                        return refuse_expansion(c->at, reterr);
                if (*c->at == '\\' && c->at[1] == '\n') {
                        c->at++;
                        continue;
                }
                if (*c->at == '\\' && c->at[1] && strchr("\"\\$`", c->at[1]))
                        c->at++;
                text_put_n(&c->word, c->at, 1);
        }
        c->at++;
        return 0;
}

static int read_single(Reader *c, char **reterr) {
        const char *end = strchr(c->at + 1, '\'');

        if (!end)
                return error_set(reterr, -EINVAL, "a quote (') is not closed: %.40s", c->at);
        text_put_n(&c->word, c->at + 1, (size_t) (end - c->at) - 1);
        c->at = end + 1;
        return 0;
}

/* $'...': its text ends at a NUL, as in the shell. */
static int read_ansi_c(Reader *c, char **reterr) {
        const char *begin = c->at;
        bool ended = false;

        for (c->at += 2; *c->at != '\'';) {
                _cleanup_(text_done) Text one = {};

                if (*c->at == 0)
                        return error_set(reterr, -EINVAL, "a quote ($') is not closed: %.40s", begin);
                if (*c->at == '\\')
                        escape_bash(&c->at, &one);
                else
                        text_put_n(&one, c->at++, 1);
                ended = ended || (one.size > 0 && one.data[0] == 0);
                if (!ended)
                        text_put_n(&c->word, one.data, one.size);
        }
        c->at++;
        return 0;
}

static int read_piece(Reader *c, char **reterr) {
        const char *s = c->at;
        int r;

        if (*s == '\\' && s[1]) {
                if (s[1] != '\n')
                        text_put_n(&c->word, s + 1, 1);
                c->quoted = true;
                c->at += 2;
                return 0;
        }
        if (*s == '"' || (*s == '$' && s[1] == '"')) {
                c->quoted = true;
                c->at += *s == '$';
                return read_double(c, reterr);
        }
        if (*s == '\'') {
                c->quoted = true;
                return read_single(c, reterr);
        }
        if (*s == '$' && s[1] == '\'') {
                c->quoted = true;
                return read_ansi_c(c, reterr);
        }
        if (*s == '`' || (*s == '$' && expands(s + 1)))
                return refuse_expansion(s, reterr);
        r = refuse_lookalike(s, reterr);
        if (r < 0)
                return r;
        text_put_n(&c->word, s, 1);
        c->at++;
        return 0;
}

/* A JSON object that no shell has seen: up to its closing brace. */
static size_t json_length(const char *s, size_t n) {
        bool string = false;
        size_t depth = 0;

        for (size_t i = 0; i < n && s[i]; i++) {
                if (string) {
                        if (s[i] == '\\' && i + 1 < n)
                                i++;
                        else if (s[i] == '"')
                                string = false;
                } else if (s[i] == '"')
                        string = true;
                else if (s[i] == '{')
                        depth++;
                else if (s[i] == '}' && --depth == 0)
                        return i + 1;
        }
        return 0;
}

static int read_word(Reader *c, Words *w, char **reterr) {
        size_t begin = (size_t) (c->at - c->text);

        c->quoted = false;
        if (*c->at == '{' && c->at[1] == '"') {
                size_t n = json_length(c->at, strlen(c->at));

                w->raw_json = true;
                if (n > 0) {
                        text_put_n(&c->word, c->at, n);
                        c->at += n;
                }
        }
        if (*c->at == '~' && (isalnum((unsigned char) c->at[1]) || c->at[1] == '/' || ends_word(c->at[1])))
                return refuse_expansion(c->at, reterr);
        while (!ends_word(*c->at)) {
                int r = read_piece(c, reterr);

                if (r < 0)
                        return r;
        }
        return add(w, &c->word, begin, (size_t) (c->at - c->text), c->quoted);
}

/* [N]>FILE, [N]<FILE, &>FILE, N>&M: the length of the operator, or 0. */
static size_t redirection(const char *s) {
        size_t digits = strspn(s, "0123456789"), n = digits;

        if (digits == 0 && s[0] == '&' && s[1] == '>')
                n = 1;
        if (s[n] != '>' && s[n] != '<')
                return 0;
        n += strspn(s + n, "<>");
        return n + (s[n] == '&' || s[n] == '|');
}

/* A line that begins with an option goes on with the command although no backslash says so. */
static bool line_continues(const char *newline) {
        const char *s = newline + 1 + strspn(newline + 1, " \t\r");

        return s[0] == '-' &&
                        (isalnum((unsigned char) s[1]) || (s[1] == '-' && isalnum((unsigned char) s[2])));
}

/* Moves to the next word: 1, or 0 at the end of the command. */
static int next_word(Reader *c) {
        for (;;) {
                if (is_blank(*c->at))
                        c->at++;
                else if (c->at[0] == '\\' && c->at[1] == '\n')
                        c->at += 2;
                else if (c->at[0] == '\\' && c->at[1] == '\r' && c->at[2] == '\n')
                        c->at += 3;
                else if (*c->at == '\n' && line_continues(c->at))
                        c->at++;
                else
                        break;
        }
        return *c->at != 0 && *c->at != '\n' && *c->at != '#';
}

int words_shell(const char *text, Words *ret, char **reterr) {
        _cleanup_(words_done) Words w = {}, targets = {};
        Reader c = { .text = text, .at = text };
        int r = 0;

        while (r >= 0 && next_word(&c)) {
                size_t n = redirection(c.at);

                if (n == 0 && strchr(";|&()", *c.at))
                        break;
                if (n == 0)
                        r = read_word(&c, &w, reterr);
                else {
                        c.at += n;
                        if (next_word(&c))
                                r = read_word(&c, &targets, reterr);
                }
        }
        text_done(&c.word);
        if (r < 0)
                return r;
        w.end = (size_t) (c.at - text);
        *ret = TAKE_STRUCT(w, (Words) {});
        return 0;
}

/* --- other forms --------------------------------------------------------------------------------------------------------- */

int words_raw(const char *text, size_t n, Words *ret) {
        _cleanup_(words_done) Words w = {};
        size_t at = 0;

        while (at < n) {
                _cleanup_(text_done) Text word = {};
                size_t begin, length = 0;
                int r;

                if (is_blank(text[at]) || text[at] == '\n' ||
                                (text[at] == '\\' && at + 1 < n && text[at + 1] == '\n')) {
                        at++;
                        continue;
                }
                begin = at;
                if (text[at] == '{')
                        length = json_length(text + at, n - at);
                for (at += length; at < n && !is_blank(text[at]) && text[at] != '\n';)
                        at++;
                text_put_n(&word, text + begin, at - begin);
                r = add(&w, &word, begin, at, false);
                if (r < 0)
                        return r;
        }
        w.raw = true;
        w.end = n;
        *ret = TAKE_STRUCT(w, (Words) {});
        return 0;
}

int words_unquote(const char *text, char **ret, const char **ret_end, char **reterr) {
        _cleanup_(text_done) Text t = {};
        const char *s = text + 1;
        char quote = text[0];
        int r;

        while (*s != quote) {
                if (*s == 0)
                        return error_set(reterr, -EINVAL, "a quote (%c) is not closed: %.40s", quote, text);
                if (*s != '\\')
                        text_put_n(&t, s++, 1);
                else if (escape_string(&s, &t) < 0)
                        return error_set(reterr, -EINVAL, "'%.10s' is not a known escape sequence", s);
        }
        if (t.data && memchr(t.data, 0, t.size))
                return error_set(reterr, -EINVAL, "a string contains a NUL: %.40s", text);
        r = text_finish(&t, ret);
        if (r >= 0)
                *ret_end = s + 1;
        return r;
}

int words_strings(const char *text, Words *ret, char **reterr) {
        _cleanup_(words_done) Words w = {};
        const char *s = text;

        while (*s == '"' || *s == '\'') {
                _cleanup_(text_done) Text word = {};
                _cleanup_free_ char *content = NULL;
                const char *end;
                int r = words_unquote(s, &content, &end, reterr);

                if (r >= 0) {
                        text_put(&word, content);
                        r = add(&w, &word, (size_t) (s - text), (size_t) (end - text), true);
                }
                if (r < 0)
                        return r;
                w.end = (size_t) (end - text);
                s = end + strspn(end, " \t\r\n,");
                if (startswith(s, "...") || startswith(s, "\u2026"))
                        return error_set(reterr, -EINVAL, "the list of arguments is truncated after '%.40s'",
                                        w.items[w.n_items - 1].text);
        }
        *ret = TAKE_STRUCT(w, (Words) {});
        return 0;
}
