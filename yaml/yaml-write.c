/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "strutil.h"
#include "yaml-json.h"
#include "yaml-library.h"

typedef struct Writer {
        YamlLibrary yaml;
        yaml_emitter_t emitter;
        Text text;
} Writer;

static int put_bytes(void *data, unsigned char *buffer, size_t size) {
        Text *t = data;

        text_put_n(t, (const char *) buffer, size);
        return t->error == 0;
}

/* libyaml fails for want of memory only: the events are of a tree. */
static int emit(Writer *w, int made, yaml_event_t *event) {
        return made && w->yaml.yaml_emitter_emit(&w->emitter, event) ? 0 : -ENOMEM;
}

static int put_scalar(Writer *w, const char *s, size_t n, yaml_scalar_style_t style) {
        bool plain = style == YAML_PLAIN_SCALAR_STYLE;
        yaml_event_t e;

        if (n > INT32_MAX)
                return -E2BIG;
        return emit(w,
                        w->yaml.yaml_scalar_event_initialize(&e, NULL, NULL, (const yaml_char_t *) s,
                                        (int) n, plain, !plain, style),
                        &e);
}

static int put_string(Writer *w, const char *s, size_t n) {
        return put_scalar(w, s, n,
                        memchr(s, '\n', n) ? YAML_LITERAL_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

/* Names that no version of YAML takes for a truth value, null or a number. */
static bool plain_key(const char *s) {
        static const char words[] = " y n yes no on off true false null ";
        char padded[16];
        size_t n = strlen(s);

        if (!isalpha((unsigned char) *s) ||
                        strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") != n)
                return false;
        if (n > 5)
                return true;
        (void) snprintf(padded, sizeof(padded), " %s ", s);
        for (char *p = padded; *p; p++)
                *p = (char) tolower((unsigned char) *p);
        return !strstr(words, padded);
}

static int put_value(Writer *w, const Json *j);

static int put_mapping(Writer *w, const Json *j) {
        yaml_event_t e;
        int r = emit(w,
                        w->yaml.yaml_mapping_start_event_initialize(
                                        &e, NULL, NULL, 1, YAML_ANY_MAPPING_STYLE),
                        &e);

        for (void *i = js_iter(j); i && r >= 0; i = js_iter_next(j, i)) {
                const char *key = js_iter_key(i);

                r = put_scalar(w, key, strlen(key),
                                plain_key(key) ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
                if (r >= 0)
                        r = put_value(w, js_iter_value(i));
        }
        return r < 0 ? r : emit(w, w->yaml.yaml_mapping_end_event_initialize(&e), &e);
}

static int put_sequence(Writer *w, const Json *j) {
        yaml_event_t e;
        int r = emit(w,
                        w->yaml.yaml_sequence_start_event_initialize(
                                        &e, NULL, NULL, 1, YAML_ANY_SEQUENCE_STYLE),
                        &e);

        for (size_t i = 0; i < js_length(j) && r >= 0; i++)
                r = put_value(w, js_at(j, i));
        return r < 0 ? r : emit(w, w->yaml.yaml_sequence_end_event_initialize(&e), &e);
}

static int put_value(Writer *w, const Json *j) {
        _cleanup_free_ char *number = NULL;
        const char *s = js_string_value(j), *word = NULL;
        bool b;

        if (js_is_object(j))
                return put_mapping(w, j);
        if (js_is_array(j))
                return put_sequence(w, j);
        if (s)
                return put_string(w, s, js_string_length(j));
        if (js_bool_value(j, &b) >= 0)
                word = b ? "true" : "false";
        else if (js_is_null(j))
                word = "null";
        else
                word = number = js_text(j, JS_SHORT);
        return word ? put_scalar(w, word, strlen(word), YAML_PLAIN_SCALAR_STYLE) : -ENOMEM;
}

static int put_stream(Writer *w, const Json *j) {
        yaml_event_t e;
        int r = emit(w, w->yaml.yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING), &e);

        if (r >= 0)
                r = emit(w, w->yaml.yaml_document_start_event_initialize(&e, NULL, NULL, NULL, 1), &e);
        if (r >= 0)
                r = put_value(w, j);
        if (r >= 0)
                r = emit(w, w->yaml.yaml_document_end_event_initialize(&e, 1), &e);
        return r < 0 ? r : emit(w, w->yaml.yaml_stream_end_event_initialize(&e), &e);
}

int yaml_json_text(const Json *j, char **ret, char **reterr) {
        Writer w = {};
        int r = yaml_library_get(&w.yaml, reterr);

        if (r < 0)
                return r;
        if (!w.yaml.yaml_emitter_initialize(&w.emitter))
                return -ENOMEM;
        w.yaml.yaml_emitter_set_output(&w.emitter, put_bytes, &w.text);
        w.yaml.yaml_emitter_set_unicode(&w.emitter, 1);
        w.yaml.yaml_emitter_set_width(&w.emitter, -1);
        r = put_stream(&w, j);
        w.yaml.yaml_emitter_delete(&w.emitter);
        if (r >= 0)
                r = text_finish(&w.text, ret);
        text_done(&w.text);
        return r;
}
