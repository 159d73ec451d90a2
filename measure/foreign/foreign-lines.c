/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-lines.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "foreign-argv.h"
#include "foreign-log.h"
#include "foreign-qemu-table.h"
#include "foreign-wrap.h"
#include "json.h"
#include "strutil.h"

/* --- exact forms --------------------------------------------------------------------------------------------------------- */

static int split_nul(const char *text, size_t size, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;

        for (size_t at = 0; at < size; at += strlen(text + at) + 1) {
                int r = strv_push(&l, text + at);

                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

static bool is_strings(const Json *j) {
        if (!js_is_array(j) || js_length(j) == 0)
                return false;
        for (size_t i = 0; i < js_length(j); i++)
                if (!js_string_value(js_at(j, i)) ||
                                strlen(js_string_value(js_at(j, i))) != js_string_length(js_at(j, i)))
                        return false;
        return true;
}

static int read_text(const char *text, ForeignLines *l, char **reterr);

/* Arrays of texts that hold an option of QEMU, and texts with a command line, at any depth. */
static int read_json(const Json *j, ForeignLines *l, char **reterr) {
        _cleanup_strv_free_ char **argv = NULL;
        bool option = false;
        int r = 0;

        if (is_strings(j)) {
                for (size_t i = 0; r >= 0 && i < js_length(j); i++) {
                        const char *s = js_string_value(js_at(j, i));

                        option = option || foreign_option_name(s);
                        r = strv_push(&argv, s);
                }
                if (r < 0 || option)
                        return r < 0 ? r : foreign_list_exact(l, argv, 1);
        }
        if (js_string_value(j))
                return read_text(js_string_value(j), l, reterr);
        for (size_t i = 0; r >= 0 && js_is_array(j) && i < js_length(j); i++)
                r = read_json(js_at(j, i), l, reterr);
        for (void *i = js_is_object(j) ? js_iter(j) : NULL; r >= 0 && i; i = js_iter_next(j, i))
                r = read_json(js_iter_value(i), l, reterr);
        return r;
}

/* Quotes around a whole line, and escaped blanks: of the argument, or of a shell that printed it. */
static int check_line_quotes(const char *line, size_t number, char **reterr) {
        size_t n = strlen(line);
        bool quoted = n > 1 && strchr("'\"", line[0]) && line[n - 1] == line[0];

        for (const char *s = strchr(line, '\\'); s && !quoted; s = strchr(s + 1, '\\'))
                quoted = s[1] && strchr(" '\"$\\", s[1]);
        if (!quoted && !startswith(line, "$'"))
                return 0;
        return error_set(reterr, -EINVAL,
                        "line %zu, '%.40s', has quotes or backslashes: they may be part of the argument, or of the shell's output; "
                        "pass /proc/PID/cmdline as it is, or a JSON array",
                        number, line);
}

/* One argument per line: each option stands alone on its line, and its value on the next one. 1 if the text is of that form. */
static int one_a_line(const char *text, char ***ret, char **reterr) {
        _cleanup_strv_free_ char **l = NULL, **argv = NULL;
        size_t n, i = 0;
        int r = strv_split(text, '\n', &l);

        n = strv_length(l);
        while (n > 0 && !*l[n - 1])
                n--;
        if (r < 0 || n < 3)
                return r < 0 ? r : 0;
        if (!foreign_option_name(l[0])) {
                if (!foreign_is_program(l[0], strlen(l[0])) || strpbrk(l[0], " \t"))
                        return 0;
                i = 1;
        }
        r = strv_push(&argv, i == 1 ? l[0] : "qemu-system-x86_64");
        while (r >= 0 && i < n) {
                const char *name = foreign_option_name(l[i]);
                int argument = name ? qemu_option_argument(name) : 0;

                if (!name || i + (size_t) argument >= n)
                        return 0;
                r = strv_push(&argv, l[i]);
                if (r >= 0 && argument > 0)
                        r = strv_push(&argv, l[i + 1]);
                if (r >= 0 && argument > 0)
                        r = check_line_quotes(l[i + 1], i + 2, reterr);
                i += 1 + (size_t) argument;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(argv);
        return 1;
}

/* --- lines of a shell or a log ------------------------------------------------------------------------------------------- */

/* The path that begins here, if it is that of a QEMU: its length, or 0. */
static size_t program_length(const char *s) {
        size_t n = strcspn(s, " \t\r\n'\",;()[]{}<>|&`");

        return n > 0 && s[0] != '-' && !memchr(s, '=', n) && foreign_is_program(s, n) ? n : 0;
}

/* Whether what follows a program are arguments of it. */
static bool arguments_follow(const Words *w) {
        if (w->n_items < 2)
                return false;
        if (foreign_option_name(w->items[1].text))
                return true;
        return w->n_items > 2 && w->items[1].text[0] != '-' &&
                        !foreign_is_program(w->items[1].text, strlen(w->items[1].text)) &&
                        foreign_option_name(w->items[2].text);
}

/* What may follow a list of quoted strings: its end, or a member of the structure that holds it (Rust's Debug). */
static bool ends_list(const char *s) {
        s += strspn(s, " \t\r\n,");
        return *s == 0 || strchr("],})", *s) || isalpha((unsigned char) *s) || *s == '_';
}

/* The arguments from a program on. A list of quoted strings is not a shell command line. */
static int read_words(const char *s, size_t length, bool *ret_strings, Words *ret, char **reterr) {
        size_t line = strcspn(s, "\n");
        int r;

        *ret_strings = false;
        if (s[0] == '"' || s[0] == '\'') {
                const char *behind = s + length + 2 + strspn(s + length + 2, " ,\t\r\n");

                if (*behind == '"' || *behind == '\'') {
                        r = words_strings(s, ret, reterr);
                        if (r < 0 || ends_list(s + ret->end)) {
                                *ret_strings = true;
                                return r;
                        }
                        words_done(ret);
                }
        }
        r = words_shell(s, ret, NULL);
        if (r >= 0 && !ret->raw_json)
                return r;
        if (r >= 0 || memmem(s, line, " {\"qom-type\"", strlen(" {\"qom-type\""))) {
                words_done(ret);
                return words_raw(s, line, ret);
        }
        return words_shell(s, ret, reterr);
}

/* Prose about QEMU has quotes that do not match; in a command line an option is next. */
static bool is_prose(const char *behind) {
        behind += strspn(behind, " \t\r\n\\,\"'");
        return behind[0] != '-' || !isalnum((unsigned char) behind[1]);
}

/* A program in a text. */
typedef struct Found {
        const char *text, *s;
        size_t length, line;
        bool quoted; /* by itself: a list of strings begins */
} Found;

/* The command line of a program: `wrap` is filled where it is inside of something. */
static int read_command(const Found *p, ForeignWrap *wrap, bool *ret_strings, Words *ret, char **reterr) {
        int r = foreign_unwrap(p->text, p->s, p->length, wrap, reterr);

        *ret_strings = false;
        if (r < 0)
                return r;
        if (r > 0 && wrap->raw)
                return words_raw(wrap->inner, strlen(wrap->inner), ret);
        if (r > 0)
                return read_words(wrap->inner, p->length, ret_strings, ret, reterr);
        r = read_words(p->s - p->quoted, p->length, ret_strings, ret, reterr);
        if (r >= 0 && foreign_is_unit(p->text, p->s))
                r = foreign_check_unit(p->s, ret->end, reterr);
        return r;
}

/* Adds the command line of a program. *ret_used: bytes that belong to it, or 0. */
static int try_program(ForeignLines *l, const Found *p, size_t *ret_used, char **reterr) {
        _cleanup_(foreign_wrap_done) ForeignWrap wrap = {};
        _cleanup_(words_done) Words words = {};
        _cleanup_free_ char *error = NULL;
        bool strings;
        int r = read_command(p, &wrap, &strings, &words, &error);

        *ret_used = 0;
        if (r == -EINVAL) {
                if (is_prose(p->s + p->length))
                        return 0;
                return error_set(reterr, r, "line %zu: %s", p->line, error ?: "not readable");
        }
        if (r < 0 || !arguments_follow(&words))
                return r < 0 ? r : 0;
        *ret_used = wrap.inner ? wrap.used : words.end - p->quoted;
        return strings ? foreign_list_strings(l, &words, p->line)
                       : foreign_list_words(
                                         l, &words, wrap.inner ?: p->s - p->quoted, p->line, false, reterr);
}

/* Whether the word in front of this one is an option that takes it. */
static bool is_value(const char *text, const char *s) {
        char word[32];
        const char *end = s, *begin;

        while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
        for (begin = end; begin > text && !strchr(" \t\n", begin[-1]);)
                begin--;
        if (end == s || (size_t) (end - begin) >= sizeof(word))
                return false;
        (void) snprintf(word, sizeof(word), "%.*s", (int) (end - begin), begin);
        return foreign_takes_value(word);
}

/* Programs begin a word, behind a quote, or behind ExecStart= of a unit. */
static bool word_begins(const char *text, const char *s) {
        return s == text || strchr(" \t\n'\"[(`;&|", s[-1]) || foreign_is_unit(text, s);
}

/* Bytes of a line that is a log message or JSON, and was read; 0: it is neither. */
static int read_log_line(const char *s, ForeignLines *l, size_t line, size_t *ret_used, char **reterr) {
        size_t n = strcspn(s, "\n"), before = l->n_items;
        _cleanup_js_ Json *j = NULL;
        int r = foreign_log_line(l, s, n, line, reterr);

        *ret_used = r > 0 ? n : 0;
        if (r != 0 || !strchr("{[", s[strspn(s, " \t")]) || js_parse(s, n, &j, NULL) < 0)
                return r;
        r = read_json(j, l, reterr);
        if (r >= 0 && l->n_items > before)
                *ret_used = n;
        for (size_t i = before; i < l->n_items; i++)
                l->items[i].line = line;
        return r;
}

static int read_text(const char *text, ForeignLines *l, char **reterr) {
        size_t line = 1;

        for (const char *s = text; *s;) {
                Found p = { .text = text,
                        .s = s,
                        .length = word_begins(text, s) ? program_length(s) : 0,
                        .line = line };
                size_t used = 0;
                int r = 0;

                p.quoted = p.length > 0 && s > text && (s[-1] == '"' || s[-1] == '\'') &&
                                s[p.length] == s[-1];
                if (p.length > 0 && is_value(text, s))
                        p.length = 0;
                if (s == text || s[-1] == '\n') /* "qemu cmd: " begins with a program's name */
                        r = read_log_line(s, l, line, &used, reterr);
                if (r >= 0 && used == 0 && p.length > 0)
                        r = try_program(l, &p, &used, reterr);
                if (r < 0)
                        return r;
                for (const char *end = s + (used > 0 ? used : MAX(p.length, (size_t) 1)); s < end; s++)
                        line += *s == '\n';
        }
        return 0;
}

/* Options alone, without a program. */
static int read_bare(const char *text, ForeignLines *l, char **reterr) {
        _cleanup_free_ char *whole = NULL;
        _cleanup_(words_done) Words words = {};
        const char *s = text + strspn(text, " \t\r\n");
        size_t n = strcspn(s, " \t\r\n");
        int r;

        whole = strndup(s, n);
        if (!whole)
                return -ENOMEM;
        if (!foreign_option_name(whole))
                return 0;
        free(whole);
        if (asprintf(&whole, "qemu-system-x86_64 %s", s) < 0) {
                whole = NULL;
                return -ENOMEM;
        }
        r = words_shell(whole, &words, reterr);
        if (r >= 0 && words.raw_json) {
                words_done(&words);
                r = words_raw(whole, strlen(whole), &words);
        }
        return r < 0 ? r : foreign_list_words(l, &words, whole, 1, false, reterr);
}

static void drop_copies(ForeignLines *l) {
        bool originals = false;
        size_t kept = 0;

        FOREACH_ARRAY(i, l->items, l->n_items)
                originals = originals || !i->copy;
        FOREACH_ARRAY(i, l->items, originals ? l->n_items : 0) {
                if (!i->copy) {
                        l->items[kept++] = *i;
                        continue;
                }
                strv_free(i->argv);
                strv_free(i->notices);
        }
        if (originals)
                l->n_items = kept;
}

static int read_forms(const char *text, size_t size, ForeignLines *l, char **reterr) {
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_js_ Json *j = NULL;
        const char *begin = text + strspn(text, " \t\r\n");
        int r;

        if (memchr(text, 0, size)) {
                r = split_nul(text, size, &argv);
                return r < 0 ? r : foreign_list_exact(l, argv, 1);
        }
        if ((*begin == '[' || *begin == '{') && js_parse(text, size, &j, NULL) >= 0) {
                r = read_json(j, l, reterr);
                if (r < 0 || l->n_items > 0)
                        return r;
        }
        r = one_a_line(text, &argv, reterr);
        if (r != 0)
                return r < 0 ? r : foreign_list_exact(l, argv, 1);
        r = read_text(text, l, reterr);
        return r < 0 || l->n_items > 0 ? r : read_bare(text, l, reterr);
}

int foreign_lines_read(const char *text, size_t size, ForeignLines *ret, char **reterr) {
        _cleanup_(foreign_lines_done) ForeignLines l = {};
        int r = read_forms(text, size, &l, reterr);

        if (r == -E2BIG)
                return error_set(reterr, r, "more than %u command lines: shorten the file",
                                FOREIGN_LINES_MAX);
        if (r < 0)
                return r;
        if (l.n_items == 0)
                return error_set(reterr, -EINVAL,
                                strspn(text, " \t\r\n") == size
                                                ? "a command line is missing"
                                                : "a QEMU command line is missing: no argument is the path of a QEMU (qemu-system-..., qemu-kvm, "
                                                  "kvm) followed by options");
        drop_copies(&l);
        *ret = TAKE_STRUCT(l, (ForeignLines) {});
        return 0;
}
