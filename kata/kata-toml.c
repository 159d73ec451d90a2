/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "kata-toml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

/* Deeper arrays are in no configuration file. */
#define DEPTH_MAX 4u
#define BARE      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
#define WRONG                                                                                               \
        "expected [TABLE] or KEY = VALUE, where VALUE is a string, an integer, true, false or an array of these"

typedef struct Toml {
        const char *p; /* at what comes next; the text ends with a NUL */
        size_t line;
        unsigned depth;
} Toml;

static void skip_blanks(Toml *t) {
        t->p += strspn(t->p, " \t");
}

/* To the end of the line, if only a comment is left of it. */
static int end_line(Toml *t) {
        skip_blanks(t);
        if (*t->p == '#')
                t->p += strcspn(t->p, "\n");
        t->p += strspn(t->p, "\r");
        if (*t->p && *t->p != '\n')
                return -EINVAL;
        if (*t->p == '\n') {
                t->p++;
                t->line++;
        }
        return 0;
}

/* Blanks, comments and line ends within an array. */
static int skip_lines(Toml *t) {
        for (;;) {
                skip_blanks(t);
                if (*t->p != '#' && *t->p != '\r' && *t->p != '\n')
                        return 0;
                if (end_line(t) < 0)
                        return -EINVAL;
        }
}

/* The end of a string whose first character is at `p`, or NULL. Up to two quotes may stand before the three that end a long string. */
static const char *find_end(const char *p, char quote, bool tall) {
        const char six[] = { quote, quote, quote, quote, quote, quote, 0 };

        for (; *p; p += quote == '"' && *p == '\\' && p[1] ? 2 : 1) {
                if (tall ? startswith(p, six) != NULL : *p == '\n')
                        return NULL;
                if (*p == quote && (!tall || (p[1] == quote && p[2] == quote && p[3] != quote)))
                        return p;
        }
        return NULL;
}

/* The text of a string that begins at t->p and may hold anything. */
static int take_text(Toml *t, bool tall, char **ret, size_t *ret_size) {
        const char *begin = t->p + (tall ? 3 : 1), *end;
        char quote = *t->p;
        size_t bad, n;

        if (tall && *begin == '\r' && begin[1] == '\n')
                begin++;
        if (tall && *begin == '\n')
                begin++;
        end = find_end(begin, quote, tall);
        if (!end)
                return -EINVAL;
        for (const char *p = t->p; p < end; p++)
                t->line += *p == '\n';
        t->p = end + (tall ? 3 : 1);
        n = (size_t) (end - begin);
        if (quote == '"')
                return unescape_c(begin, n, ret, ret_size, &bad);
        *ret = strndup(begin, n);
        *ret_size = n;
        return *ret ? 0 : -ENOMEM;
}

/* `tall`: a string over several lines is one, too. */
static int read_string(Toml *t, bool tall, char **ret, size_t *ret_size) {
        bool is_tall = startswith(t->p, "\"\"\"") || startswith(t->p, "'''");
        _cleanup_js_ Json *text = NULL;
        int r = is_tall && !tall ? -EINVAL : take_text(t, is_tall, ret, ret_size);

        if (r < 0)
                return r;
        /* An escape can name bytes that are not UTF-8. */
        text = js_string_n(*ret, *ret_size);
        if (text)
                return 0;
        free(*ret);
        *ret = NULL;
        return -EINVAL;
}

static int read_value(Toml *t, Json **ret);

static int read_array(Toml *t, Json **ret) {
        _cleanup_js_ Json *array = js_array();
        int r = array ? 0 : -ENOMEM;

        if (++t->depth > DEPTH_MAX)
                return -EINVAL;
        t->p++;
        for (;;) {
                Json *item;

                if (r >= 0)
                        r = skip_lines(t);
                if (r < 0)
                        return r;
                if (*t->p == ']')
                        break;
                r = read_value(t, &item);
                if (r >= 0)
                        r = js_append(array, item);
                if (r >= 0)
                        r = skip_lines(t);
                if (r >= 0 && *t->p != ',' && *t->p != ']')
                        r = -EINVAL;
                if (r >= 0 && *t->p == ',')
                        t->p++;
        }
        t->p++;
        t->depth--;
        *ret = TAKE_PTR(array);
        return 0;
}

static int read_number(Toml *t, Json **ret) {
        size_t n = strspn(t->p, "+-0123456789abcdefxABCDEF");
        _cleanup_free_ char *text = strndup(t->p, n);
        uint64_t value;

        if (!text)
                return -ENOMEM;
        if (parse_u64(text + (*text == '-' || *text == '+'), &value) < 0)
                return -EINVAL;
        t->p += n;
        *ret = *text == '-' ? js_null() : js_u64(value);
        return *ret ? 0 : -EINVAL;
}

static int read_value(Toml *t, Json **ret) {
        _cleanup_free_ char *text = NULL;
        const char *rest;
        size_t size;
        int r;

        switch (*t->p) {
        case '"':
        case '\'':
                r = read_string(t, /* tall= */ true, &text, &size);
                if (r < 0)
                        return r;
                if (memchr(text, 0, size))
                        return -EINVAL;
                *ret = js_string(text);
                return *ret ? 0 : -EINVAL; /* not UTF-8 */
        case '[':
                return read_array(t, ret);
        }
        rest = startswith(t->p, "true") ?: startswith(t->p, "false");
        if (!rest)
                return read_number(t, ret);
        *ret = js_bool(*t->p == 't');
        t->p = rest;
        return *ret ? 0 : -ENOMEM;
}

/* A bare or quoted key. */
static int read_key(Toml *t, char **ret) {
        size_t n = strspn(t->p, BARE), size;
        int r;

        if (*t->p == '"' || *t->p == '\'') {
                r = read_string(t, /* tall= */ false, ret, &size);
                return r >= 0 && memchr(*ret, 0, size) ? -EINVAL : r;
        }
        if (n == 0)
                return -EINVAL;
        *ret = strndup(t->p, n);
        t->p += n;
        return *ret ? 0 : -ENOMEM;
}

static int read_table(Toml *t, Json *all, Json **ret) {
        size_t n = strspn(++t->p, BARE ".");
        _cleanup_free_ char *name = strndup(t->p, n);
        Json *table;
        int r;

        if (!name)
                return -ENOMEM;
        t->p += n;
        if (n == 0 || *t->p != ']')
                return -EINVAL;
        if (js_get(all, name))
                return -EEXIST;
        t->p++;
        table = js_object();
        r = js_set(all, name, table);
        if (r < 0)
                return r;
        *ret = table; /* borrowed from `all` */
        return end_line(t);
}

static int read_pair(Toml *t, Json *table) {
        _cleanup_free_ char *key = NULL;
        Json *value;
        int r = read_key(t, &key);

        if (r < 0)
                return r;
        skip_blanks(t);
        if (*t->p != '=')
                return -EINVAL;
        if (js_get(table, key))
                return -EEXIST;
        t->p++;
        skip_blanks(t);
        r = read_value(t, &value);
        if (r >= 0)
                r = js_set(table, key, value);
        return r < 0 ? r : end_line(t);
}

int kata_toml_read(const char *text, size_t size, Json **ret, char **reterr) {
        _cleanup_js_ Json *all = js_object();
        Toml t = { .p = text, .line = 1 };
        Json *table = js_object();
        int r = js_set(all, "", table);

        if (r < 0)
                return r;
        if (strlen(text) != size)
                return error_set(reterr, -EINVAL, "the file contains a NUL: it is not TOML");
        while (r >= 0 && *t.p) {
                size_t line = t.line;

                skip_blanks(&t);
                if (*t.p == '[')
                        r = read_table(&t, all, &table);
                else if (strchr("#\r\n", *t.p))
                        r = end_line(&t);
                else
                        r = read_pair(&t, table);
                if (r == -EINVAL)
                        return error_set(reterr, r, "line %zu: " WRONG, line);
                if (r == -EEXIST)
                        return error_set(reterr, -EINVAL,
                                        "line %zu: this table or key is in the file twice; remove one of them",
                                        line);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(all);
        return 0;
}
