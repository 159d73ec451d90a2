/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "json.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <string.h>

#include "encode.h"
#include "error.h"
#include "json-memory.h"
#include "secret.h"
#include "strutil.h"

#define JS_DEPTH_MAX 32 /* nothing we read nests deeper than 6; jansson itself allows 2048 */

/* Before anything is allocated by jansson. */
__attribute__((constructor)) static void set_memory(void) {
        json_set_alloc_funcs(json_memory_alloc, json_memory_free);
}

void js_erase_memory(void) {
        json_memory_erase();
}

Json *js_unref(Json *j) {
        json_decref(j);
        return NULL;
}

Json *js_ref(Json *j) {
        return json_incref(j);
}

static bool too_deep(const Json *j, unsigned left) {
        if (!json_is_object(j) && !json_is_array(j))
                return false;
        if (left == 0)
                return true;

        for (size_t i = 0; i < json_array_size(j); i++)
                if (too_deep(json_array_get(j, i), left - 1))
                        return true;
        for (void *i = js_iter(j); i; i = js_iter_next(j, i))
                if (too_deep(js_iter_value(i), left - 1))
                        return true;
        return false;
}

static int load(const char *text, size_t size, json_error_t *e, Json **ret) {
        JsonGuard g;

        if (setjmp(g.failed) != 0) {
                json_memory_drop(&g);
                return -ENOMEM;
        }
        json_memory_guard(&g);
        *ret = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, e);
        json_memory_keep(&g);
        return 0;
}

int js_parse(const char *text, size_t size, Json **ret, char **reterr) {
        _cleanup_js_ Json *j = NULL;
        json_error_t e;
        int r = load(text, size, &e, &j);

        if (r < 0)
                return r;
        if (!j)
                return error_set(reterr, -EBADMSG, "not valid JSON at line %d, column %d: %s", e.line,
                                e.column, e.text);
        if (too_deep(j, JS_DEPTH_MAX))
                return error_set(reterr, -EBADMSG, "JSON nested deeper than %d levels", JS_DEPTH_MAX);

        *ret = TAKE_PTR(j);
        return 0;
}

typedef struct TextSink {
        char *p;
        size_t size, room;
        bool failed;
} TextSink;

static int add_text(const char *data, size_t size, void *userdata) {
        TextSink *t = userdata;

        if (!t->failed && t->room - t->size <= size) {
                size_t room = MAX(t->room * 2, t->size + size + 1);
                char *p = malloc(room);

                t->failed = !p;
                if (p) {
                        if (t->size > 0)
                                memcpy(p, t->p, t->size);
                        erase_string_free(t->p);
                        t->p = p;
                        t->room = room;
                }
        }
        if (t->failed)
                return -ENOMEM;
        memcpy(t->p + t->size, data, size);
        t->size += size;
        t->p[t->size] = 0;
        return 0;
}

/* Not json_dumps(): jansson up to 2.14 overlooks a failure to write a sorted key, and the text comes out without it. */
char *js_text(const Json *j, JsStyle style) {
        TextSink t = {};

        if (json_dump_callback(j, add_text, &t,
                            JSON_ENCODE_ANY |
                                            (style == JS_PRETTY ? JSON_INDENT(2)
                                                                : JSON_COMPACT | JSON_SORT_KEYS)) < 0 ||
                        t.failed) {
                erase_string_free(t.p);
                return NULL;
        }
        return t.p;
}

Json *js_object(void) {
        return json_object();
}

Json *js_array(void) {
        return json_array();
}

Json *js_string(const char *s) {
        return s ? json_string(s) : json_null();
}

Json *js_string_n(const char *s, size_t n) {
        return json_stringn(s, n);
}

Json *js_u64(uint64_t v) {
        return v > INT64_MAX ? NULL : json_integer((json_int_t) v);
}

Json *js_bool(bool b) {
        return json_boolean(b);
}

Json *js_null(void) {
        return json_null();
}

Json *js_hex(const void *p, size_t n) {
        _cleanup_free_ char *s = hex_encode(p, n);

        return s ? json_string(s) : NULL;
}

Json *js_base64(const void *p, size_t n) {
        _cleanup_free_ char *s = base64_encode(p, n);

        return s ? json_string(s) : NULL;
}

Json *js_strv(char *const *l) {
        _cleanup_js_ Json *a = json_array();

        if (!a)
                return NULL;
        STRV_FOREACH(s, l)
                if (js_append(a, json_string(*s)) < 0)
                        return NULL;
        return TAKE_PTR(a);
}

int js_set(Json *object, const char *key, Json *value) {
        return value && json_object_set_new(object, key, value) == 0 ? 0 : -ENOMEM;
}

int js_append(Json *array, Json *value) {
        return value && json_array_append_new(array, value) == 0 ? 0 : -ENOMEM;
}

int js_build(Json **ret, const char *format, ...) {
        json_error_t e;
        va_list ap;
        Json *j;

        va_start(ap, format);
        j = json_vpack_ex(&e, 0, format, ap);
        va_end(ap);
        if (!j)
                return json_error_code(&e) == json_error_out_of_memory ? -ENOMEM : -EINVAL;
        *ret = j;
        return 0;
}

bool js_is_object(const Json *j) {
        return json_is_object(j);
}

bool js_is_array(const Json *j) {
        return json_is_array(j);
}

bool js_is_null(const Json *j) {
        return json_is_null(j);
}

const Json *js_get(const Json *object, const char *key) {
        return json_object_get(object, key);
}

const char *js_string_value(const Json *j) {
        return json_string_value(j);
}

size_t js_string_length(const Json *j) {
        return json_string_length(j);
}

int js_u64_value(const Json *j, uint64_t *ret) {
        if (!json_is_integer(j) || json_integer_value(j) < 0)
                return -EINVAL;
        *ret = (uint64_t) json_integer_value(j);
        return 0;
}

int js_bool_value(const Json *j, bool *ret) {
        if (!json_is_boolean(j))
                return -EINVAL;
        *ret = json_is_true(j);
        return 0;
}

size_t js_length(const Json *array) {
        return json_array_size(array);
}

const Json *js_at(const Json *array, size_t i) {
        return json_array_get(array, i);
}

/* jansson's iterators want a mutable object but change nothing. */
void *js_iter(const Json *object) {
        return json_object_iter((Json *) object);
}

void *js_iter_next(const Json *object, void *iter) {
        return json_object_iter_next((Json *) object, iter);
}

const char *js_iter_key(void *iter) {
        return json_object_iter_key(iter);
}

const Json *js_iter_value(void *iter) {
        return json_object_iter_value(iter);
}

static int read_strv(const Json *value, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;

        if (!json_is_array(value))
                return -EINVAL;
        for (size_t i = 0; i < json_array_size(value); i++) {
                const char *s = json_string_value(json_array_get(value, i));
                int r = s ? strv_push(&l, s) : -EINVAL;

                if (r < 0)
                        return r;
        }
        strv_free(*ret);
        *ret = TAKE_PTR(l);
        return 0;
}

static int read_string(const Json *value, char **ret) {
        const char *s = json_string_value(value);
        char *copy;

        if (!s || strlen(s) != json_string_length(value))
                return -EINVAL;
        copy = strdup(s);
        if (!copy)
                return -ENOMEM;
        free(*ret);
        *ret = copy;
        return 0;
}

static int read_field(const JsField *f, const Json *value, void *p, char **reterr) {
        static const char *const expected[] = {
                [JS_FIELD_STRING] = "a string",
                [JS_FIELD_U64] = "an integer, 0 or more",
                [JS_FIELD_UNSIGNED] = "an integer from 0 to 4294967295",
                [JS_FIELD_BOOL] = "true or false",
                [JS_FIELD_STRV] = "an array of strings",
                [JS_FIELD_CUSTOM] = "another value",
        };
        uint64_t v;
        int r;

        switch (f->type) {
        case JS_FIELD_STRING:
                r = read_string(value, p);
                break;
        case JS_FIELD_U64:
                r = js_u64_value(value, p);
                break;
        case JS_FIELD_UNSIGNED:
                r = js_u64_value(value, &v);
                if (r == 0 && v > UINT32_MAX)
                        r = -EINVAL;
                if (r == 0)
                        *(unsigned *) p = (unsigned) v;
                break;
        case JS_FIELD_BOOL:
                r = js_bool_value(value, p);
                break;
        case JS_FIELD_STRV:
                r = read_strv(value, p);
                break;
        case JS_FIELD_CUSTOM:
                r = f->parse(value, p, reterr);
                if (r < 0 && reterr && *reterr)
                        return error_prefix(reterr, r, "member '%s'", f->name);
                break;
        default:
                assert(false);
                return -EINVAL;
        }
        if (r == -ENOMEM || r == 0)
                return r;
        return error_set(reterr, r, "member '%s': expected %s", f->name, expected[f->type]);
}

int js_dispatch(const Json *object, const JsField *fields, size_t n_fields, bool foreign, void *target,
                char **reterr) {
        if (!json_is_object(object))
                return error_set(reterr, -EINVAL, "expected a JSON object");

        for (void *i = js_iter(object); i; i = js_iter_next(object, i)) {
                bool known = foreign;

                for (size_t k = 0; k < n_fields; k++)
                        known = known || streq(fields[k].name, js_iter_key(i));
                if (!known)
                        return error_set(reterr, -EINVAL, "unknown member '%s'", js_iter_key(i));
        }

        FOREACH_ARRAY(f, fields, n_fields) {
                const Json *value = json_object_get(object, f->name);
                int r;

                if (!value) {
                        if (f->mandatory)
                                return error_set(reterr, -EINVAL, "member '%s' is missing", f->name);
                        continue;
                }
                r = read_field(f, value, (uint8_t *) target + f->offset, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}
