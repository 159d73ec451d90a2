/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "strutil.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

bool endswith(const char *s, const char *suffix) {
        size_t n = strlen(s), m = strlen(suffix);

        return n >= m && streq(s + n - m, suffix);
}

char **strv_free(char **l) {
        STRV_FOREACH(s, l)
                free(*s);
        free(l);
        return NULL;
}

size_t strv_length(char *const *l) {
        size_t n = 0;

        STRV_FOREACH(s, l)
                n++;
        return n;
}

bool strv_contains(char *const *l, const char *s) {
        STRV_FOREACH(i, l)
                if (streq(*i, s))
                        return true;
        return false;
}

int strv_consume(char ***l, char *s) {
        size_t n = strv_length(*l);
        char **m;

        if (!s)
                return -ENOMEM;
        m = reallocarray(*l, n + 2, sizeof(char *));
        if (!m) {
                free(s);
                return -ENOMEM;
        }
        m[n] = s;
        m[n + 1] = NULL;
        *l = m;
        return 0;
}

int strv_push(char ***l, const char *s) {
        return strv_consume(l, strdup(s));
}

int strv_pushf(char ***l, const char *format, ...) {
        char *s = NULL;
        va_list ap;
        int k;

        va_start(ap, format);
        k = vasprintf(&s, format, ap);
        va_end(ap);
        return strv_consume(l, k < 0 ? NULL : s);
}

int strv_copy(char *const *l, char ***ret) {
        _cleanup_strv_free_ char **m = NULL;

        STRV_FOREACH(s, l) {
                int r = strv_push(&m, *s);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(m);
        return 0;
}

char *strv_join(char *const *l, const char *separator) {
        _cleanup_(text_done) Text t = {};
        char *s;

        text_put(&t, "");
        STRV_FOREACH(i, l) {
                if (i != l)
                        text_put(&t, separator);
                text_put(&t, *i);
        }
        return text_finish(&t, &s) < 0 ? NULL : s;
}

int strv_split(const char *s, char separator, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;

        for (;;) {
                const char *e = strchrnul(s, separator);
                int r = strv_consume(&l, strndup(s, (size_t) (e - s)));

                if (r < 0)
                        return r;
                if (!*e)
                        break;
                s = e + 1;
        }
        *ret = TAKE_PTR(l);
        return 0;
}

ValuesText values_text(const char *values) {
        ValuesText t = {};
        size_t at = 0;

        for (const char *s = values + strspn(values, " "); *s;) {
                size_t n = strcspn(s, " ");
                const char *next = s + n + strspn(s + n, " ");
                const char *joint = at == 0 ? "" : *next ? ", " : " or ";
                int k = snprintf(t.text + at, sizeof(t.text) - at, "%s%.*s", joint, (int) n, s);

                if (k < 0 || (size_t) k >= sizeof(t.text) - at)
                        break;
                at += (size_t) k;
                s = next;
        }
        return t;
}

void text_done(Text *t) {
        free(t->data);
        *t = (Text) {};
}

void text_put_n(Text *t, const char *s, size_t n) {
        if (t->error < 0)
                return;
        if (t->allocated - t->size < n + 1) {
                size_t want = MAX(t->allocated * 2, t->size + n + 1);
                char *d = realloc(t->data, want);

                if (!d) {
                        t->error = -ENOMEM;
                        return;
                }
                t->data = d;
                t->allocated = want;
        }
        memcpy(t->data + t->size, s, n);
        t->size += n;
        t->data[t->size] = 0;
}

void text_put(Text *t, const char *s) {
        text_put_n(t, s, strlen(s));
}

void text_putf(Text *t, const char *format, ...) {
        _cleanup_free_ char *s = NULL;
        va_list ap;
        int k;

        va_start(ap, format);
        k = vasprintf(&s, format, ap);
        va_end(ap);
        if (k < 0) {
                s = NULL;
                t->error = -ENOMEM;
                return;
        }
        text_put_n(t, s, (size_t) k);
}

void text_put_escaped(Text *t, char c) {
        static const struct {
                char c;
                const char *reference;
        } references[] = { { '&', "&amp;" }, { '<', "&lt;" }, { '>', "&gt;" }, { '"', "&quot;" },
                { '\'', "&#39;" } };

        FOREACH_ARRAY(e, references, ELEMENTSOF(references))
                if (e->c == c) {
                        text_put(t, e->reference);
                        return;
                }
        text_put_n(t, &c, 1);
}

int text_finish(Text *t, char **ret) {
        if (t->error == 0 && !t->data)
                text_put(t, "");
        if (t->error < 0)
                return t->error;
        *ret = TAKE_PTR(t->data);
        *t = (Text) {};
        return 0;
}

void text_flatten(char *s, size_t max) {
        size_t i = 0;

        for (; s && s[i] && i < max; i++)
                if ((unsigned char) s[i] < ' ' || s[i] == 0x7f)
                        s[i] = ' ';
        if (s)
                s[i] = 0;
}
