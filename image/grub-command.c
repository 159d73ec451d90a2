/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "grub-command.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

void command_done(Command *c) {
        strv_free(c->words);
        *c = (Command) {};
}

/* --- words ----------------------------------------------------------------------------------------------------------- */

typedef struct Word {
        Text text;
        bool started, quoted;
} Word;

static int flush(Word *w, Command *c) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (!w->started)
                return 0;
        r = text_finish(&w->text, &text);
        w->started = false;
        if (r < 0)
                return r;
        if (!w->quoted && streq(text, "{")) {
                c->end = COMMAND_BLOCK;
                return 1;
        }
        if (!w->quoted && streq(text, "}") && !c->words) {
                c->end = COMMAND_CLOSE;
                return 1;
        }
        w->quoted = false;
        if (strv_length(c->words) >= GRUB_WORDS_MAX)
                return -E2BIG;
        return strv_consume(&c->words, TAKE_PTR(text));
}

static int put(Word *w, const char *p, size_t n) {
        text_put_n(&w->text, p, n);
        w->started = true;
        return w->text.size > GRUB_WORD_MAX ? -E2BIG : w->text.error;
}

/* At a "$"; unquoted values are split at blanks. */
static int expand(Script *s, const GrubEnv *env, bool quoted, Word *w, Command *c) {
        const char *value = "";
        char name[64];
        bool braces;
        size_t n = 0;

        s->p++;
        braces = s->p < s->end && *s->p == '{';
        s->p += braces;
        while (s->p < s->end && (isalnum((unsigned char) *s->p) || *s->p == '_')) {
                if (n < sizeof(name) - 1)
                        name[n++] = *s->p;
                s->p++;
        }
        if (braces && s->p < s->end && *s->p == '}')
                s->p++;
        name[n] = 0;
        if (n == 0 && !braces)
                return put(w, "$", 1);
        if (env)
                value = grub_env_get(env, name) ?: "";
        if (quoted)
                return put(w, value, strlen(value));
        for (; *value; value++) {
                int r = *value == ' ' ? flush(w, c) : put(w, value, 1);

                if (r != 0)
                        return r < 0 ? r : 0;
        }
        return 0;
}

static int read_quoted(Script *s, const GrubEnv *env, Word *w, Command *c) {
        char quote = *s->p++;

        w->started = w->quoted = true;
        while (s->p < s->end && *s->p != quote) {
                int r;

                if (quote == '"' && *s->p == '$') {
                        r = expand(s, env, /* quoted= */ true, w, c);
                } else {
                        if (quote == '"' && *s->p == '\\' && s->p + 1 < s->end && strchr("\"\\$", s->p[1]))
                                s->p++;
                        r = put(w, s->p++, 1);
                }
                if (r < 0)
                        return r;
        }
        if (s->p == s->end)
                return error_set(s->reterr, -EBADMSG, "a quotation mark is not closed");
        s->p++;
        return 0;
}

static int read_escaped(Script *s, Word *w) {
        s->p++;
        if (s->p == s->end)
                return 0;
        if (*s->p == '\n') {
                s->p++;
                return 0;
        }
        w->quoted = true;
        return put(w, s->p++, 1);
}

static void skip_comment(Script *s) {
        while (s->p < s->end && *s->p != '\n')
                s->p++;
}

int command_read(Script *s, const GrubEnv *env, Command *c) {
        _cleanup_(text_done) Text none = {};
        Word w = {};
        int r = 0;

        if (++*s->steps > GRUB_STEPS_MAX)
                return error_set(s->reterr, -E2BIG, "it has too many commands");
        while (r == 0 && s->p < s->end) {
                char ch = *s->p;

                if (strchr(" \t\r", ch) && ch) {
                        r = flush(&w, c);
                        s->p++;
                } else if (ch && strchr("\n;|&", ch)) {
                        r = flush(&w, c);
                        if (r == 0) {
                                s->p++;
                                r = c->words ? 1 : 0;
                        }
                } else if (ch == '#' && !w.started) {
                        skip_comment(s);
                } else if (ch == '\'' || ch == '"') {
                        r = read_quoted(s, env, &w, c);
                } else if (ch == '\\') {
                        r = read_escaped(s, &w);
                } else if (ch == '$') {
                        r = expand(s, env, /* quoted= */ false, &w, c);
                } else {
                        r = put(&w, s->p++, 1);
                }
        }
        if (r == 0) {
                r = flush(&w, c);
                if (r == 0 && !c->words)
                        c->end = COMMAND_EOF;
        }
        none = w.text;
        return r < 0 ? error_set(s->reterr, r, "a command is too long") : 0;
}

int command_skip_block(Script *s, const char **ret, size_t *ret_size) {
        const char *start = s->p;

        for (unsigned depth = 1; depth > 0;) {
                _cleanup_(command_done) Command c = {};
                int r;

                *ret_size = (size_t) (s->p - start);
                r = command_read(s, NULL, &c);
                if (r < 0)
                        return r;
                if (c.end == COMMAND_EOF)
                        return error_set(s->reterr, -EBADMSG, "a block is not closed ('}' is missing)");
                depth += c.end == COMMAND_BLOCK;
                depth -= c.end == COMMAND_CLOSE;
        }
        *ret = start;
        return 0;
}

/* --- conditions ------------------------------------------------------------------------------------------------------ */

static bool test_words(char *const *w, size_t n) {
        if (n > 0 && streq(w[0], "!"))
                return !test_words(w + 1, n - 1);
        if (n == 1)
                return *w[0];
        if (n == 2 && streq(w[0], "-n"))
                return *w[1];
        if (n == 2 && streq(w[0], "-z"))
                return !*w[1];
        /* Of files only the environment is known. */
        if (n == 2 && *w[0] == '-')
                return endswith(w[1], "/grubenv");
        if (n == 3 && (streq(w[1], "=") || streq(w[1], "==") || streq(w[1], "-eq")))
                return streq(w[0], w[2]);
        if (n == 3 && (streq(w[1], "!=") || streq(w[1], "-ne")))
                return !streq(w[0], w[2]);
        return false;
}

bool command_condition(char *const *w) {
        size_t n = strv_length(w);

        if (n > 0 && streq(w[0], "!"))
                return !command_condition(w + 1);
        if (n > 0 && streq(w[0], "["))
                return test_words(w + 1, n - 1 - (streq(w[n - 1], "]")));
        if (n > 0 && streq(w[0], "test"))
                return test_words(w + 1, n - 1);
        return n > 0 && streq(w[0], "true");
}
