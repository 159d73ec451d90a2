/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The one JSON door. Values are reference counted; builders take over the references of the values they are given. Reading goes
 * through a table of fields; output through builders only. Integers are 64 bit; texts are UTF-8. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "macro.h"

typedef struct json_t Json; /* opaque outside json.c */

typedef enum JsStyle {
        JS_SHORT,  /* one line, keys sorted, no blanks: the canonical bytes */
        JS_PRETTY, /* indented, keys in the order they were set, for people */
} JsStyle;

/* From now on the memory of all values is erased when it is given back: for programs whose JSON holds secrets. To be called before any
 * other function here. */
void js_erase_memory(void);

Json *js_unref(Json *j); /* returns NULL */
Json *js_ref(Json *j);
DEFINE_TRIVIAL_CLEANUP_FUNC(Json *, js_unref);
#define _cleanup_js_ _cleanup_(js_unrefp)

/* Reads one value that must fill the text. Duplicate keys, invalid UTF-8 and nesting over 32 levels are refused (-EBADMSG, with
 * line and column in the error message). */
_warn_unused_result_ int js_parse(const char *text, size_t size, Json **ret, char **reterr);
/* The text of a value, owned; NULL: out of memory. */
char *js_text(const Json *j, JsStyle style);

/* Builders return a new reference or NULL (out of memory, or a text that is not UTF-8). js_set and js_append take `value`, also
 * when they fail; NULL is -ENOMEM, so that a builder's result can be passed on unchecked. */
Json *js_object(void);
Json *js_array(void);
Json *js_string(const char *s); /* NULL gives null */
Json *js_string_n(const char *s, size_t n);
Json *js_u64(uint64_t v); /* values over INT64_MAX fail */
Json *js_bool(bool b);
Json *js_null(void);
Json *js_hex(const void *p, size_t n);
Json *js_base64(const void *p, size_t n);
Json *js_strv(char *const *l);
_warn_unused_result_ int js_set(Json *object, const char *key, Json *value);
_warn_unused_result_ int js_append(Json *array, Json *value);
/* Builds objects and arrays from a format as jansson's json_pack() ("{s:s, s:I, s:b, s:o}"): 0, -ENOMEM or -EINVAL. */
_warn_unused_result_ int js_build(Json **ret, const char *format, ...);

/* Readers borrow. */
bool js_is_object(const Json *j);
bool js_is_array(const Json *j);
bool js_is_null(const Json *j);
const Json *js_get(const Json *object, const char *key);             /* NULL if absent */
const char *js_string_value(const Json *j);                          /* NULL if not a string */
size_t js_string_length(const Json *j);                              /* bytes: texts may hold NULs */
_warn_unused_result_ int js_u64_value(const Json *j, uint64_t *ret); /* -EINVAL: not an integer >= 0 */
_warn_unused_result_ int js_bool_value(const Json *j, bool *ret);
size_t js_length(const Json *array);
const Json *js_at(const Json *array, size_t i);
/* Walks an object in key insertion order: for (void *i = js_iter(o); i; i = js_iter_next(o, i)). */
void *js_iter(const Json *object);
void *js_iter_next(const Json *object, void *iter);
const char *js_iter_key(void *iter);
const Json *js_iter_value(void *iter);

typedef enum JsFieldType {
        JS_FIELD_STRING,   /* char *: owned copy */
        JS_FIELD_U64,      /* uint64_t */
        JS_FIELD_UNSIGNED, /* unsigned */
        JS_FIELD_BOOL,     /* bool */
        JS_FIELD_STRV,     /* char **: owned */
        JS_FIELD_CUSTOM,   /* parse(value, target + offset) */
} JsFieldType;

typedef struct JsField {
        const char *name;
        JsFieldType type;
        size_t offset; /* in the target structure */
        bool mandatory;
        int (*parse)(const Json *value, void *target, char **reterr);
} JsField;

/* Reads the members of an object into a structure by table. Unknown members are refused unless `foreign` (formats of other
 * projects). -EINVAL with an error message naming the member. Fields read before a failure stay set: the caller frees the target. */
_warn_unused_result_ int js_dispatch(const Json *object, const JsField *fields, size_t n_fields,
                bool foreign, void *target, char **reterr);
