/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "matrix-layer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "error.h"
#include "strutil.h"

#define NAME_MAX_    64u
#define NAME_CHARS   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
#define OPTION_CHARS "abcdefghijklmnopqrstuvwxyz0123456789-"
#define OPTIONS_MAX  512u
#define RETRY_MAX    100u

/* Options that the guests of a matrix cannot have: why. */
static const struct {
        const char *name, *why;
} reserved[] = {
        { "help", "it runs no guest" },
        { "version", "it runs no guest" },
        { "print", "it runs no guest; use 'cvmspawn run-matrix --print'" },
        { "status-fd", "run-matrix reads the events itself" },
        { "json", "run-matrix reads the events itself; use 'cvmspawn run-matrix --json'" },
        { "shell", "it needs a terminal, and guests of a matrix have none" },
};

void layer_done(Layer *l) {
        free(l->name);
        free(l->extends);
        js_unref(l->options);
        js_unref(l->arguments);
        *l = LAYER_NONE;
}

bool layer_name_valid(const char *name) {
        size_t n = strlen(name);

        return n > 0 && n <= NAME_MAX_ && name[0] != '.' && name[0] != '-' && strspn(name, NAME_CHARS) == n;
}

/* Of "NAME" or "NAME=VALUE". */
static const char *why_reserved(const char *text) {
        FOREACH_ARRAY(row, reserved, ELEMENTSOF(reserved)) {
                const char *rest = startswith(text, row->name);

                if (rest && (*rest == 0 || *rest == '='))
                        return row->why;
        }
        return NULL;
}

int layer_check_argument(const char *argument, char **reterr) {
        const char *name = startswith(argument, "--");
        const char *why = name ? why_reserved(name) : NULL;

        if (startswith(argument, "-h"))
                why = reserved[0].why;
        return why ? error_set(reterr, -EINVAL, "'%s' cannot be used here: %s", argument, why) : 0;
}

static bool plain(const Json *value) {
        uint64_t number;

        return js_string_value(value) ? strlen(js_string_value(value)) == js_string_length(value)
                                      : js_u64_value(value, &number) >= 0;
}

static int check_option(const char *name, const Json *value, char **reterr) {
        bool flag;

        if (!*name || strspn(name, OPTION_CHARS) != strlen(name) || name[0] == '-')
                return error_set(reterr, -EINVAL,
                                "options: '%s' is not the long name of an option, such as 'initrd'", name);
        if (why_reserved(name))
                return error_set(reterr, -EINVAL, "options: '%s' cannot be used in a matrix: %s", name,
                                why_reserved(name));
        if (plain(value) || js_bool_value(value, &flag) >= 0)
                return 0;
        if (js_is_array(value)) {
                for (size_t i = 0; i < js_length(value); i++)
                        if (!plain(js_at(value, i)))
                                return error_set(reterr, -EINVAL,
                                                "options: '%s' is a list whose element %zu is neither a text nor a number",
                                                name, i + 1);
                return 0;
        }
        return error_set(reterr, -EINVAL,
                        "options: the value of '%s' must be a text, a whole number, true, false or a list of texts",
                        name);
}

static int read_options(const Json *value, void *target, char **reterr) {
        Layer *l = target;
        size_t n = 0;

        if (!js_is_object(value))
                return error_set(reterr, -EINVAL,
                                "options: expected an object: names of options and their values");
        for (void *i = js_iter(value); i; i = js_iter_next(value, i)) {
                int r = check_option(js_iter_key(i), js_iter_value(i), reterr);

                if (r < 0)
                        return r;
                if (++n > OPTIONS_MAX)
                        return error_set(reterr, -E2BIG, "options: more than %u", OPTIONS_MAX);
        }
        l->options = js_ref((Json *) value);
        return 0;
}

static int read_arguments(const Json *value, void *target, char **reterr) {
        Layer *l = target;
        bool fits = js_is_array(value);

        for (size_t i = 0; fits && i < js_length(value); i++)
                fits = plain(js_at(value, i));
        if (!fits)
                return error_set(reterr, -EINVAL, "kernel-arguments: expected a list of texts");
        l->arguments = js_ref((Json *) value);
        return 0;
}

static int check_numbers(const Layer *l, char **reterr) {
        if (l->expect_status != LAYER_UNSET && l->expect_status > 255)
                return error_set(reterr, -ERANGE, "expect-status: %u is not an exit status (0 to 255)",
                                l->expect_status);
        if (l->retry != LAYER_UNSET && l->retry > RETRY_MAX)
                return error_set(reterr, -ERANGE, "retry: %u is too much (at most %u)", l->retry, RETRY_MAX);
        return 0;
}

int layer_read(const Json *j, bool named, Layer *ret, char **reterr) {
        static const JsField fields[] = {
                { "name", JS_FIELD_STRING, offsetof(Layer, name), true, NULL },
                { "extends", JS_FIELD_STRING, offsetof(Layer, extends), false, NULL },
                { "options", JS_FIELD_CUSTOM, 0, false, read_options },
                { "kernel-arguments", JS_FIELD_CUSTOM, 0, false, read_arguments },
                { "expect-status", JS_FIELD_UNSIGNED, offsetof(Layer, expect_status), false, NULL },
                { "retry", JS_FIELD_UNSIGNED, offsetof(Layer, retry), false, NULL },
        };
        _cleanup_(layer_done) Layer l = LAYER_NONE;
        size_t skip = named ? 0 : 1;
        int r;

        if (!js_is_object(j))
                return error_set(reterr, -EINVAL, "expected an object with members such as 'options'");
        r = js_dispatch(j, fields + skip, ELEMENTSOF(fields) - skip, /* foreign= */ false, &l, reterr);
        if (r >= 0)
                r = check_numbers(&l, reterr);
        if (r >= 0 && l.name && !layer_name_valid(l.name))
                r = error_set(reterr, -EINVAL,
                                "name: '%s' must be 1 to %u letters, digits, '.', '_' or '-', and begin with a letter, digit or '_'",
                                l.name, NAME_MAX_);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(l, LAYER_NONE);
        return 0;
}

int layer_put(Layer *l, const Layer *over) {
        if (over->expect_status != LAYER_UNSET)
                l->expect_status = over->expect_status;
        if (over->retry != LAYER_UNSET)
                l->retry = over->retry;
        if (over->arguments) {
                js_unref(l->arguments);
                l->arguments = js_ref(over->arguments);
        }
        if (!over->options)
                return 0;
        if (!l->options) {
                l->options = js_object();
                if (!l->options)
                        return -ENOMEM;
        }
        for (void *i = js_iter(over->options); i; i = js_iter_next(over->options, i)) {
                int r = js_set(l->options, js_iter_key(i), js_ref((Json *) js_iter_value(i)));

                if (r < 0)
                        return r;
        }
        return 0;
}

static int push_plain(char ***l, const char *name, const Json *value) {
        const char *text = js_string_value(value);
        uint64_t number = 0;
        int r;

        if (text)
                return name ? strv_pushf(l, "--%s=%s", name, text) : strv_push(l, text);
        r = js_u64_value(value, &number);
        if (r < 0)
                return r;
        return name ? strv_pushf(l, "--%s=%" PRIu64, name, number) : strv_pushf(l, "%" PRIu64, number);
}

static int push_option(char ***l, const char *name, const Json *value) {
        bool flag;
        int r = 0;

        if (js_bool_value(value, &flag) >= 0)
                return flag ? strv_pushf(l, "--%s", name) : 0;
        if (!js_is_array(value))
                return push_plain(l, name, value);
        for (size_t i = 0; r >= 0 && i < js_length(value); i++)
                r = push_plain(l, name, js_at(value, i));
        return r;
}

static int push_machine(const Layer *l, const char *name, char ***out) {
        _cleanup_free_ char *machine = NULL;

        /* Without any of these --machine= says what to boot. */
        if (js_get(l->options, "machine") ||
                        !(js_get(l->options, "linux") || js_get(l->options, "image") ||
                                        js_get(l->options, "directory")))
                return 0;
        machine = strdup(name);
        if (!machine)
                return -ENOMEM;
        for (char *p = machine; *p; p++)
                *p = *p == '.' ? '-' : *p;
        return strv_pushf(out, "--machine=%s", machine);
}

int layer_arguments(const Layer *l, const char *name, char ***ret) {
        _cleanup_strv_free_ char **out = NULL;
        int r = push_machine(l, name, &out);

        if (l->options)
                for (void *i = js_iter(l->options); r >= 0 && i; i = js_iter_next(l->options, i))
                        r = push_option(&out, js_iter_key(i), js_iter_value(i));
        if (r >= 0 && js_length(l->arguments) > 0)
                r = strv_push(&out, "--");
        for (size_t i = 0; r >= 0 && i < js_length(l->arguments); i++)
                r = push_plain(&out, NULL, js_at(l->arguments, i));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(out);
        return 0;
}
