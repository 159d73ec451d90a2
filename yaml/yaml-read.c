/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "yaml-json.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "error.h"
#include "strutil.h"
#include "yaml-library.h"

#define DEPTH_MAX 32u /* as js_parse() */

typedef struct Reader {
        const YamlLibrary *yaml;
        const char *instead; /* of anchors and aliases: what a sentence ends with */
        yaml_parser_t parser;
        yaml_event_t event;
        char **reterr;
} Reader;

/* Lines and columns are counted from 1, as editors do. */
static int refuse(const Reader *r, yaml_mark_t mark, const char *what) {
        return error_set(r->reterr, -EBADMSG, "line %zu, column %zu: %s", mark.line + 1, mark.column + 1,
                        what);
}

static int refuse_link(const Reader *r, const char *what) {
        return error_set(r->reterr, -EBADMSG, "line %zu, column %zu: %s are not supported%s",
                        r->event.start_mark.line + 1, r->event.start_mark.column + 1, what, r->instead);
}

static int next(Reader *r) {
        r->yaml->yaml_event_delete(&r->event);
        if (r->yaml->yaml_parser_parse(&r->parser, &r->event))
                return 0;
        if (r->parser.error == YAML_MEMORY_ERROR)
                return -ENOMEM;
        if (r->parser.error == YAML_READER_ERROR)
                return error_set(r->reterr, -EBADMSG, "byte %zu: %s", r->parser.problem_offset,
                                r->parser.problem ?: "not UTF-8");
        return refuse(r, r->parser.problem_mark, r->parser.problem ?: "not YAML");
}

static bool one_of(const char *s, const char *const *words) {
        for (; *words; words++)
                if (streq(s, *words))
                        return true;
        return false;
}

static Json *scalar_value(const char *s, size_t n, bool plain) {
        static const char *const yes[] = { "true", "True", "TRUE", NULL };
        static const char *const no[] = { "false", "False", "FALSE", NULL };
        static const char *const null[] = { "", "~", "null", "Null", "NULL", NULL };
        uint64_t number;

        if (!plain || strlen(s) != n)
                return js_string_n(s, n);
        if (one_of(s, yes))
                return js_bool(true);
        if (one_of(s, no))
                return js_bool(false);
        if (one_of(s, null))
                return js_null();
        /* "007" is a name and "0x1" what an option takes: as they stand. */
        if ((s[0] != '0' || n == 1) && strspn(s, "0123456789") == n &&
                        parse_u64_max(s, INT64_MAX, &number) >= 0)
                return js_u64(number);
        return js_string_n(s, n);
}

static int read_value(Reader *r, unsigned depth, Json **ret);

static int refuse_anchor(const Reader *r, const yaml_char_t *anchor, const yaml_char_t *tag) {
        if (anchor)
                return refuse_link(r, "anchors");
        return tag ? refuse(r, r->event.start_mark, "tags are not supported") : 0;
}

static int read_scalar(const Reader *r, Json **ret) {
        const char *s = (const char *) r->event.data.scalar.value;
        int k = refuse_anchor(r, r->event.data.scalar.anchor, r->event.data.scalar.tag);

        if (k < 0)
                return k;
        *ret = scalar_value(s, r->event.data.scalar.length,
                        r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE);
        return *ret ? 0 : refuse(r, r->event.start_mark, "not a text in UTF-8");
}

static int read_sequence(Reader *r, unsigned depth, Json **ret) {
        _cleanup_js_ Json *list = js_array();
        int k = refuse_anchor(r, r->event.data.sequence_start.anchor, r->event.data.sequence_start.tag);

        if (k >= 0 && !list)
                k = -ENOMEM;
        for (;;) {
                Json *item = NULL;

                if (k >= 0)
                        k = next(r);
                if (k < 0)
                        return k;
                if (r->event.type == YAML_SEQUENCE_END_EVENT)
                        break;
                k = read_value(r, depth + 1, &item);
                if (k >= 0)
                        k = js_append(list, item);
        }
        *ret = TAKE_PTR(list);
        return 0;
}

/* The key of a member, owned. */
static int read_key(const Reader *r, const Json *object, char **ret) {
        const char *s;

        if (r->event.type != YAML_SCALAR_EVENT)
                return refuse(r, r->event.start_mark, "a key must be a text");
        s = (const char *) r->event.data.scalar.value;
        if (refuse_anchor(r, r->event.data.scalar.anchor, r->event.data.scalar.tag) < 0)
                return -EBADMSG;
        if (strlen(s) != r->event.data.scalar.length)
                return refuse(r, r->event.start_mark, "a key contains a NUL character");
        if (streq(s, "<<"))
                return refuse_link(r, "merge keys");
        if (js_get(object, s))
                return error_set(r->reterr, -EBADMSG, "line %zu, column %zu: duplicate key '%s'",
                                r->event.start_mark.line + 1, r->event.start_mark.column + 1, s);
        *ret = strdup(s);
        return *ret ? 0 : -ENOMEM;
}

static int read_mapping(Reader *r, unsigned depth, Json **ret) {
        _cleanup_js_ Json *object = js_object();
        int k = refuse_anchor(r, r->event.data.mapping_start.anchor, r->event.data.mapping_start.tag);

        if (k >= 0 && !object)
                k = -ENOMEM;
        for (;;) {
                _cleanup_free_ char *key = NULL;
                yaml_mark_t mark;
                Json *value = NULL;

                if (k >= 0)
                        k = next(r);
                if (k < 0)
                        return k;
                if (r->event.type == YAML_MAPPING_END_EVENT)
                        break;
                mark = r->event.start_mark;
                k = read_key(r, object, &key);
                if (k >= 0)
                        k = next(r);
                if (k >= 0)
                        k = read_value(r, depth + 1, &value);
                if (k >= 0 && js_set(object, key, value) < 0)
                        k = refuse(r, mark, "a key is not a text in UTF-8");
        }
        *ret = TAKE_PTR(object);
        return 0;
}

/* The value whose first event is there. */
static int read_value(Reader *r, unsigned depth, Json **ret) {
        if (depth > DEPTH_MAX)
                return refuse(r, r->event.start_mark, "nested too deeply (at most 32 levels)");
        switch (r->event.type) {
        case YAML_SCALAR_EVENT:
                return read_scalar(r, ret);
        case YAML_SEQUENCE_START_EVENT:
                return read_sequence(r, depth, ret);
        case YAML_MAPPING_START_EVENT:
                return read_mapping(r, depth, ret);
        case YAML_ALIAS_EVENT:
                return refuse_link(r, "aliases");
        default:
                return refuse(r, r->event.start_mark, "a value is missing");
        }
}

static int read_stream(Reader *r, Json **ret) {
        _cleanup_js_ Json *value = NULL;
        int k = next(r); /* the stream's start */

        if (k >= 0)
                k = next(r);
        if (k >= 0 && r->event.type == YAML_STREAM_END_EVENT)
                return error_set(r->reterr, -EBADMSG, "empty");
        if (k >= 0)
                k = next(r); /* after the document's start */
        if (k >= 0)
                k = read_value(r, 0, &value);
        if (k >= 0)
                k = next(r); /* the document's end */
        if (k >= 0)
                k = next(r);
        if (k < 0)
                return k;
        if (r->event.type != YAML_STREAM_END_EVENT)
                return refuse(r, r->event.start_mark, "a second document; expected one");
        *ret = TAKE_PTR(value);
        return 0;
}

int yaml_json_read(const char *text, size_t size, const char *instead, Json **ret, char **reterr) {
        YamlLibrary yaml = {};
        Reader r = { .yaml = &yaml, .instead = instead, .reterr = reterr };
        int k = yaml_library_get(&yaml, reterr);

        if (k < 0)
                return k;
        if (!yaml.yaml_parser_initialize(&r.parser))
                return -ENOMEM;
        yaml.yaml_parser_set_input_string(&r.parser, (const unsigned char *) text, size);
        yaml.yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
        k = read_stream(&r, ret);
        yaml.yaml_event_delete(&r.event);
        yaml.yaml_parser_delete(&r.parser);
        return k;
}
