/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "test.h"

#include <errno.h>

#include "json.h"
#include "strutil.h"

static void parse_refuses(_unused_ void **state) {
        static const char *const bad[] = {
                "",
                " ",
                "{",
                "[1,]",
                "{\"a\":1,\"a\":2}",
                "\"\xff\"",
                "nul",
                "1 2",
                "{\"a\":1}x",
                "01",
                "'a'",
                "[1e999]",
                "99999999999999999999",
        };

        FOREACH_ARRAY(t, bad, ELEMENTSOF(bad)) {
                _cleanup_free_ char *why = NULL;
                Json *j = (Json *) 1;

                assert_error(js_parse(*t, strlen(*t), &j, &why), EBADMSG);
                assert_non_null(strstr(why, "line"));
                assert_ptr_equal(j, (Json *) 1);
        }
}

static int parse_depth(unsigned depth) {
        char text[200] = "";
        Json *j = NULL;
        int r;

        for (unsigned i = 0; i < depth; i++)
                text[i] = '[';
        for (unsigned i = 0; i < depth; i++)
                text[depth + i] = ']';
        r = js_parse(text, 2 * (size_t) depth, &j, NULL);
        js_unref(j);
        return r;
}

static void nesting(_unused_ void **state) {
        assert_ok(parse_depth(32));
        assert_error(parse_depth(33), EBADMSG);
}

static void canonical_text(_unused_ void **state) {
        static const char text[] = "{\"b\": [1, true, null, \"\\u00e4\\n\"], \"a\": {}}";
        _cleanup_js_ Json *j = NULL;
        _cleanup_free_ char *brief = NULL, *pretty = NULL;

        assert_ok(js_parse(text, strlen(text), &j, NULL));
        brief = js_text(j, JS_SHORT);
        assert_string_equal(brief, "{\"a\":{},\"b\":[1,true,null,\"\xc3\xa4\\n\"]}");
        pretty = js_text(j, JS_PRETTY);
        assert_non_null(startswith(pretty, "{\n  \"b\": ["));
}

static void builders(_unused_ void **state) {
        static const char *const words[] = { "x", "y", NULL };
        _cleanup_js_ Json *o = js_object(), *shared = js_string("s");
        _cleanup_free_ char *text = NULL;

        assert_ok(js_set(o, "hex", js_hex("\x01\xab", 2)));
        assert_ok(js_set(o, "b64", js_base64("\x01\xab", 2)));
        assert_ok(js_set(o, "l", js_strv((char *const *) words)));
        assert_ok(js_set(o, "n", js_null()));
        assert_ok(js_set(o, "s", js_ref(shared)));
        assert_ok(js_set(o, "z", js_string_n("a\0b", 3)));
        assert_error(js_set(o, "bad", js_string("\xff")), ENOMEM);
        assert_error(js_set(o, "big", js_u64(UINT64_MAX)), ENOMEM);
        assert_error(js_set(NULL, "x", js_bool(true)), ENOMEM);
        text = js_text(o, JS_SHORT);
        assert_string_equal(text,
                        "{\"b64\":\"Aas=\",\"hex\":\"01ab\",\"l\":[\"x\",\"y\"],\"n\":null,\"s\":\"s\","
                        "\"z\":\"a\\u0000b\"}");
        assert_int_equal(js_string_length(js_get(o, "z")), 3);
}

static void readers_take_anything(_unused_ void **state) {
        _cleanup_js_ Json *n = js_u64(5), *negative = NULL;
        uint64_t v = 77;
        bool b;

        assert_ok(js_parse("-1", 2, &negative, NULL));
        assert_error(js_u64_value(negative, &v), EINVAL);
        assert_error(js_u64_value(NULL, &v), EINVAL);
        assert_int_equal(v, 77);
        assert_error(js_bool_value(n, &b), EINVAL);
        assert_null(js_get(n, "a"));
        assert_null(js_get(NULL, "a"));
        assert_null(js_at(n, 0));
        assert_null(js_string_value(NULL));
        assert_int_equal(js_length(NULL), 0);
        assert_false(js_is_object(NULL));
}

typedef struct Target {
        char *name, **words;
        uint64_t big;
        unsigned number;
        bool flag;
        unsigned custom;
} Target;

static int parse_custom(const Json *value, void *target, char **reterr) {
        if (!js_is_null(value)) {
                if (reterr && !*reterr)
                        *reterr = strdup("not null");
                return -EINVAL;
        }
        *(unsigned *) target = 9;
        return 0;
}

static const JsField fields[] = {
        { "name", JS_FIELD_STRING, offsetof(Target, name), true, NULL },
        { "words", JS_FIELD_STRV, offsetof(Target, words), false, NULL },
        { "big", JS_FIELD_U64, offsetof(Target, big), false, NULL },
        { "number", JS_FIELD_UNSIGNED, offsetof(Target, number), false, NULL },
        { "flag", JS_FIELD_BOOL, offsetof(Target, flag), false, NULL },
        { "custom", JS_FIELD_CUSTOM, offsetof(Target, custom), false, parse_custom },
};

static int dispatch(const char *text, bool foreign, Target *t, char **reterr) {
        _cleanup_js_ Json *j = NULL;

        assert_ok(js_parse(text, strlen(text), &j, NULL));
        return js_dispatch(j, fields, ELEMENTSOF(fields), foreign, t, reterr);
}

static void target_done(Target *t) {
        free(t->name);
        strv_free(t->words);
}

static void dispatch_reads(_unused_ void **state) {
        _cleanup_(target_done) Target t = {};

        assert_ok(dispatch("{\"name\": \"n\", \"words\": [\"a\", \"b\"], \"big\": 9223372036854775807, "
                           "\"number\": 4294967295, "
                           "\"flag\": true, \"custom\": null, \"more\": 1}",
                        /* foreign= */ true, &t, NULL));
        assert_string_equal(t.name, "n");
        assert_int_equal(strv_length(t.words), 2);
        assert_int_equal(t.big, INT64_MAX);
        assert_int_equal(t.number, UINT32_MAX);
        assert_true(t.flag);
        assert_int_equal(t.custom, 9);
}

static void dispatch_refuses(_unused_ void **state) {
        static const struct {
                const char *text, *sentence;
        } cases[] = {
                { "[]", "expected a JSON object" },
                { "{}", "member 'name' is missing" },
                { "{\"name\": \"n\", \"more\": 1}", "unknown member 'more'" },
                { "{\"name\": 1}", "member 'name': expected a string" },
                { "{\"name\": \"a\\u0000b\"}",
                                "member 'name': expected a string" }, /* would be cut off in C */
                { "{\"name\": \"n\", \"number\": 4294967296}",
                                "member 'number': expected an integer from 0 to 4294967295" },
                { "{\"name\": \"n\", \"big\": -1}", "member 'big': expected an integer, 0 or more" },
                { "{\"name\": \"n\", \"big\": 1.0}", "member 'big': expected an integer, 0 or more" },
                { "{\"name\": \"n\", \"flag\": 1}", "member 'flag': expected true or false" },
                { "{\"name\": \"n\", \"words\": [\"a\", 1]}",
                                "member 'words': expected an array of strings" },
                { "{\"name\": \"n\", \"custom\": 1}", "member 'custom': not null" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_(target_done) Target t = {};
                _cleanup_free_ char *why = NULL;

                assert_error(dispatch(c->text, /* foreign= */ false, &t, &why), EINVAL);
                assert_string_equal(why, c->sentence);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(parse_refuses),
                cmocka_unit_test(nesting),
                cmocka_unit_test(canonical_text),
                cmocka_unit_test(builders),
                cmocka_unit_test(readers_take_anything),
                cmocka_unit_test(dispatch_reads),
                cmocka_unit_test(dispatch_refuses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
