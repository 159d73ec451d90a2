/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "foreign-argv.h"
#include "json.h"
#include "strutil.h"

/* A message in a message in a message: the journal's JSON around a runtime's. */
#define LAYERS_MAX 4u

static const struct {
        const char *begin, *behind;
} marks[] = {
        { "launching ", " with: [" },
        { "qemu cmd: ", "" },
        { "qemu args: ", "" },
};

static const char *find_mark(const char *text, size_t *ret_which) {
        for (size_t i = 0; i < ELEMENTSOF(marks); i++) {
                const char *s = strstr(text, marks[i].begin);

                if (s && strstr(s, marks[i].behind)) {
                        *ret_which = i;
                        return s;
                }
        }
        return NULL;
}

/* The message in a JSON object at the end of the line: owned, or NULL. */
static char *json_message(const char *text) {
        static const char *const members[] = { "msg", "MESSAGE", "message", "log" };

        for (const char *s = strchr(text, '{'); s; s = strchr(s + 1, '{')) {
                _cleanup_js_ Json *j = NULL;
                size_t n = strlen(s), which;

                if (s > text && s[-1] != ' ' && s[-1] != '\t')
                        continue;
                while (n > 0 && strchr(" \r\t", s[n - 1]))
                        n--;
                if (s[1] != '"' || js_parse(s, n, &j, NULL) < 0)
                        continue;
                for (size_t i = 0; i < ELEMENTSOF(members); i++) {
                        const char *value = js_string_value(js_get(j, members[i]));

                        if (value && find_mark(value, &which))
                                return strdup(value);
                }
        }
        return NULL;
}

/* The message of logfmt. */
static char *logfmt_message(const char *text) {
        const char *s = strstr(text, "msg=\""), *end;
        char *message;
        size_t which;

        if (!s || words_unquote(s + strlen("msg="), &message, &end, NULL) < 0)
                return NULL;
        if (find_mark(message, &which))
                return message;
        free(message);
        return NULL;
}

static int add_raw(ForeignLines *l, const char *program, size_t n_program, const char *arguments, size_t n,
                size_t line, bool copy, char **reterr) {
        _cleanup_free_ char *source = NULL;
        _cleanup_(words_done) Words words = {};
        int r;

        if (asprintf(&source, "%.*s %.*s", (int) n_program, program, (int) n, arguments) < 0) {
                source = NULL;
                return -ENOMEM;
        }
        r = words_raw(source, strlen(source), &words);
        return r < 0 ? r : foreign_list_words(l, &words, source, line, copy, reterr);
}

/* Rust's Debug of a Command: strings, the program after a directory and variables, and the end of the structure. */
static int add_command(ForeignLines *l, const char *text, size_t line, char **reterr) {
        _cleanup_(words_done) Words words = {};
        const char *end = text;

        for (const char *s = strchr(text, '"'); s && words.n_items == 0; s = strchr(end, '"')) {
                _cleanup_free_ char *word = NULL;
                int r = words_unquote(s, &word, &end, reterr);

                if (r >= 0 && foreign_is_program(word, strlen(word))) {
                        r = words_strings(s, &words, reterr);
                        end = s + words.end;
                }
                if (r < 0)
                        return error_prefix(reterr, r, "line %zu", line);
        }
        if (strstr(text, "Command {") && !strchr(end, '}'))
                return error_set(reterr, -EINVAL,
                                "line %zu: the command is not closed: the line is truncated", line);
        return words.n_items < 2 ? 0 : foreign_list_strings(l, &words, line);
}

/* Go prints the list between brackets, and the message ends with it. */
static int add_launching(ForeignLines *l, const char *s, size_t line, char **reterr) {
        const char *program = s + strlen(marks[0].begin), *list = strstr(program, marks[0].behind), *end;

        end = strrchr(list, ']');
        if (!end)
                return error_set(reterr, -EINVAL,
                                "line %zu: the list of arguments is not closed: the line is truncated",
                                line);
        list += strlen(marks[0].behind);
        return add_raw(l, program, (size_t) (list - strlen(marks[0].behind) - program), list,
                        (size_t) (end - list), line, false, reterr);
}

int foreign_log_line(ForeignLines *l, const char *text, size_t n, size_t line, char **reterr) {
        _cleanup_free_ char *message = strndup(text, n);
        size_t which, before = l->n_items;
        const char *s;
        int r = 0;

        if (!message)
                return -ENOMEM;
        if (!find_mark(message, &which))
                return 0;
        for (unsigned i = 0; i < LAYERS_MAX; i++) {
                char *inner = json_message(message) ?: logfmt_message(message);

                if (!inner)
                        break;
                free(message);
                message = inner;
        }
        s = find_mark(message, &which);
        if (!s)
                return 0;
        if (s > message && s[-1] == '"') /* of a layer that could not be read */
                return error_set(reterr, -EINVAL,
                                "line %zu: a quote (\") is not closed: the line is truncated", line);
        if (which == 0)
                r = add_launching(l, s, line, reterr);
        else if (which == 1)
                r = add_command(l, s, line, reterr);
        else {
                s += strlen(marks[which].begin);
                r = add_raw(l, "qemu-system-x86_64", strlen("qemu-system-x86_64"), s, strcspn(s, "\n"), line,
                                true, reterr);
        }
        return r < 0 ? r : l->n_items > before;
}
