/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-pairs.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

/* Members of members of members: libvirt's block nodes have three levels. */
#define JSON_DEPTH 8u

void pairs_done(Pairs *p) {
        FOREACH_ARRAY(i, p->items, p->n_items) {
                free(i->key);
                free(i->value);
        }
        free(p->items);
        *p = (Pairs) {};
}

static Pair *find(const Pairs *p, const char *key) {
        FOREACH_ARRAY(i, p->items, p->n_items)
                if (streq(i->key, key))
                        return i;
        return NULL;
}

const char *pairs_get(const Pairs *p, const char *key) {
        const Pair *i = find(p, key);

        return i ? i->value : NULL;
}

static int set_item(Pairs *p, const char *key, const char *value, bool json_string) {
        Pair *i = find(p, key), *items;
        char *copy = strdup(value);

        if (!copy)
                return -ENOMEM;
        if (i) {
                free(i->value);
                i->value = copy;
                i->json_string = json_string;
                return 0;
        }
        if (p->n_items >= PAIRS_MAX) {
                free(copy);
                return -E2BIG;
        }
        items = reallocarray(p->items, p->n_items + 1, sizeof(Pair));
        if (items)
                p->items = items;
        i = items ? items + p->n_items : NULL;
        if (i)
                *i = (Pair) { .key = strdup(key), .value = copy, .json_string = json_string };
        if (!i || !i->key) {
                free(copy);
                return -ENOMEM;
        }
        p->n_items++;
        return 0;
}

int pairs_set(Pairs *p, const char *key, const char *value) {
        return set_item(p, key, value, /* json_string= */ false);
}

/* One item up to the next single comma; *text moves after it. *ret is owned, *ret_equals the place of its first '='. */
static int take_item(const char **text, char **ret, char **ret_equals) {
        _cleanup_(text_done) Text item = {};
        size_t equals = SIZE_MAX;
        const char *s = *text;
        int r;

        for (; *s && (*s != ',' || s[1] == ','); s++) {
                if (*s == ',')
                        s++;
                if (*s == '=' && equals == SIZE_MAX)
                        equals = item.size;
                text_put_n(&item, s, 1);
        }
        *text = *s == ',' ? s + 1 : s;
        r = text_finish(&item, ret);
        *ret_equals = r >= 0 && equals != SIZE_MAX ? *ret + equals : NULL;
        return r;
}

int pairs_parse(Pairs *p, const char *text, PairsDialect dialect, const char *implied, char **reterr) {
        for (bool first = true; *text; first = false) {
                _cleanup_free_ char *item = NULL;
                const char *key, *value;
                char *equals;
                int r = take_item(&text, &item, &equals);

                if (r < 0)
                        return r;
                if (!*item && !first)
                        continue;
                if (!*item && *text)
                        return error_set(reterr, -EINVAL, "QEMU refuses an empty first item");
                if (equals) {
                        *equals = 0;
                        key = item;
                        value = equals + 1;
                } else if (first && implied) {
                        key = implied;
                        value = item;
                } else if (dialect == PAIRS_KEYVAL)
                        return error_set(reterr, -EINVAL, "QEMU expects '=' after '%s' here", item);
                else {
                        bool off = startswith(item, "no");

                        key = off ? item + 2 : item;
                        value = off ? "off" : "on";
                }
                r = pairs_set(p, key, value);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A JSON scalar in the spelling of key=value; owned. */
static int scalar(const Json *value, char **ret) {
        const char *s = js_string_value(value);
        bool b;

        if (s)
                *ret = strdup(s);
        else if (js_bool_value(value, &b) >= 0)
                *ret = strdup(b ? "on" : "off");
        else
                *ret = js_text(value, JS_SHORT);
        return *ret ? 0 : -ENOMEM;
}

static int add_members(Pairs *p, const Json *object, const char *prefix, unsigned depth, char **reterr) {
        if (depth == 0)
                return error_set(reterr, -EBADMSG, "JSON with more than %u levels", JSON_DEPTH);
        for (void *i = js_iter(object); i; i = js_iter_next(object, i)) {
                const Json *value = js_iter_value(i);
                _cleanup_free_ char *key = NULL, *text = NULL;
                int r;

                if (asprintf(&key, "%s%s", prefix, js_iter_key(i)) < 0)
                        return -ENOMEM;
                if (js_is_object(value)) {
                        _cleanup_free_ char *dotted = NULL;

                        if (asprintf(&dotted, "%s.", key) < 0)
                                return -ENOMEM;
                        r = add_members(p, value, dotted, depth - 1, reterr);
                } else {
                        r = scalar(value, &text);
                        if (r >= 0)
                                r = set_item(p, key, text, js_string_value(value));
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

int pairs_parse_json(Pairs *p, const Json *object, char **reterr) {
        if (!js_is_object(object))
                return error_set(reterr, -EINVAL, "expected a JSON object");
        return add_members(p, object, "", JSON_DEPTH, reterr);
}

int pairs_parse_any(Pairs *p, const char *text, PairsDialect dialect, const char *implied, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        int r;

        if (text[0] != '{')
                return pairs_parse(p, text, dialect, implied, reterr);
        r = js_parse(text, strlen(text), &j, reterr);
        return r < 0 ? r : pairs_parse_json(p, j, reterr);
}

void pairs_dashify(Pairs *p) {
        FOREACH_ARRAY(i, p->items, p->n_items)
                for (char *c = i->key; *c; c++)
                        if (*c == '_')
                                *c = '-';
}

int pairs_text(const Pairs *p, char **ret) {
        _cleanup_(text_done) Text t = {};

        FOREACH_ARRAY(i, p->items, p->n_items) {
                text_put(&t, i == p->items ? "" : ",");
                text_put(&t, i->key);
                text_put(&t, "=");
                for (const char *s = i->value; *s; s++) {
                        if (*s == ',')
                                text_put(&t, ",");
                        text_put_n(&t, s, 1);
                }
        }
        return text_finish(&t, ret);
}

int qemu_boolean(const char *s) {
        static const char *const words[] = { "off", "no", "false", "n", "on", "yes", "true", "y" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (streq(s, words[i]))
                        return i >= ELEMENTSOF(words) / 2;
        return -EINVAL;
}

bool qemu_is_help(const char *s) {
        return streq(s, "help") || streq(s, "?");
}

int qemu_number(const char *s, unsigned long long *ret) {
        const char *digits = s + strspn(s, " \t\n\v\f\r");
        unsigned long long n;
        char *end;

        digits += *digits == '+';
        if (!isdigit((unsigned char) *digits))
                return -EINVAL;
        errno = 0;
        n = strtoull(digits, &end, 0);
        if (errno != 0 || *end)
                return -EINVAL;
        *ret = n;
        return 0;
}

int qemu_size(const char *s, unsigned long long unit, unsigned long long *ret) {
        static const char suffixes[] = "BKMGTPE";
        const char *suffix, *digits = s + strspn(s, " \t\n\v\f\r");
        size_t n = strspn(digits, "0123456789");
        double value;

        if (n == 0)
                return -EINVAL;
        if (digits[n] == '.') {
                size_t fraction = strspn(digits + n + 1, "0123456789");

                if (fraction == 0)
                        return -EINVAL;
                n += 1 + fraction;
        }
        suffix = digits[n] ? strchr(suffixes, toupper((unsigned char) digits[n])) : NULL;
        if (digits[n] && (!suffix || digits[n + 1]))
                return -EINVAL;
        value = strtod(digits, NULL);
        if (suffix)
                for (unit = 1; suffix > suffixes; suffix--)
                        unit *= 1024;
        value *= (double) unit;
        if (!(value >= 0 && value < 18446744073709549568.0))
                return -ERANGE;
        *ret = (unsigned long long) value;
        return 0;
}
