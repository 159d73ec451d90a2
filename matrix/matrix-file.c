/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "matrix-file.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "error.h"
#include "matrix-layer.h"
#include "strutil.h"
#include "yaml-json.h"

#define JOBS_MAX      1024u
#define CHAIN_MAX     32u                 /* templates that extend each other */
#define ARGUMENTS_MAX (64u * 1024 * 1024) /* bytes of all guests' arguments */

typedef struct Document {
        unsigned jobs;
        const Json *defaults, *templates, *guests; /* borrowed */
} Document;

void matrix_done(Matrix *m) {
        FOREACH_ARRAY(g, m->guests, m->n_guests) {
                free(g->name);
                strv_free(g->arguments);
        }
        free(m->guests);
        *m = (Matrix) {};
}

static int keep_defaults(const Json *value, void *target, _unused_ char **reterr) {
        ((Document *) target)->defaults = value;
        return 0;
}

static int keep_templates(const Json *value, void *target, char **reterr) {
        if (!js_is_object(value))
                return error_set(reterr, -EINVAL, "templates: expected an object: names and templates");
        ((Document *) target)->templates = value;
        return 0;
}

static int keep_guests(const Json *value, void *target, char **reterr) {
        if (!js_is_array(value) || js_length(value) == 0 || js_length(value) > MATRIX_GUESTS_MAX)
                return error_set(reterr, -EINVAL, "guests: expected a list of 1 to %u guests",
                                MATRIX_GUESTS_MAX);
        ((Document *) target)->guests = value;
        return 0;
}

/* Puts a template over *l, and before it those that it extends. `chain` names those that led here. */
static int put_template(const Document *d, const char *name, char ***chain, Layer *l, char **reterr) {
        _cleanup_(layer_done) Layer template = LAYER_NONE;
        const Json *j = js_get(d->templates, name);
        bool cycle = strv_contains(*chain, name);
        int r;

        if (!j)
                return error_set(reterr, -ENOENT, "extends: no template is called '%s'", name);
        if (strv_length(*chain) > CHAIN_MAX)
                return error_set(reterr, -E2BIG, "extends: more than %u templates extend each other",
                                CHAIN_MAX);
        r = strv_push(chain, name);
        if (r >= 0 && cycle) {
                _cleanup_free_ char *text = strv_join(*chain, " -> ");

                return error_set(reterr, -ELOOP, "extends: the templates extend each other in a cycle: %s",
                                text ?: name);
        }
        if (r >= 0) {
                r = layer_read(j, /* named= */ false, &template, reterr);
                if (r < 0)
                        (void) error_prefix(reterr, r, "templates: '%s'", name);
        }
        if (r >= 0 && template.extends)
                r = put_template(d, template.extends, chain, l, reterr);
        return r < 0 ? r : layer_put(l, &template);
}

/* The defaults, then the templates, then the layer itself. */
static int compose(const Document *d, const Layer *own, Layer *ret, char **reterr) {
        _cleanup_(layer_done) Layer l = LAYER_NONE, defaults = LAYER_NONE;
        _cleanup_strv_free_ char **chain = NULL;
        int r = 0;

        if (d->defaults)
                r = layer_read(d->defaults, /* named= */ false, &defaults, reterr);
        if (r >= 0 && defaults.extends)
                r = error_set(reterr, -EINVAL, "the defaults cannot extend a template");
        if (r < 0)
                return error_prefix(reterr, r, "defaults");
        r = layer_put(&l, &defaults);
        if (r >= 0 && own->extends)
                r = put_template(d, own->extends, &chain, &l, reterr);
        if (r >= 0)
                r = layer_put(&l, own);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(l, LAYER_NONE);
        return 0;
}

static int count_arguments(const MatrixGuest *g, size_t *n, char **reterr) {
        STRV_FOREACH(a, g->arguments)
                *n += strlen(*a) + 1;
        return *n > ARGUMENTS_MAX
                        ? error_set(reterr, -E2BIG, "the guests' arguments are more than %u MiB together",
                                          ARGUMENTS_MAX >> 20)
                        : 0;
}

static int read_guest(const Document *d, size_t i, MatrixGuest *ret, char **reterr) {
        _cleanup_(layer_done) Layer own = LAYER_NONE, all = LAYER_NONE;
        int r = layer_read(js_at(d->guests, i), /* named= */ true, &own, reterr);

        if (r >= 0)
                r = compose(d, &own, &all, reterr);
        if (r < 0 && own.name)
                return error_prefix(reterr, r, "guest '%s'", own.name);
        if (r < 0)
                return error_prefix(reterr, r, "guest %zu of the list", i + 1);
        r = layer_arguments(&all, own.name, &ret->arguments);
        ret->name = TAKE_PTR(own.name);
        ret->expect_status = all.expect_status == LAYER_UNSET ? 0 : all.expect_status;
        ret->retry = all.retry == LAYER_UNSET ? 0 : all.retry;
        return r;
}

/* Those that no guest extends as well. */
static int check_templates(const Document *d, char **reterr) {
        if (!d->templates)
                return 0;
        for (void *i = js_iter(d->templates); i; i = js_iter_next(d->templates, i)) {
                _cleanup_(layer_done) Layer l = LAYER_NONE;
                _cleanup_strv_free_ char **chain = NULL;
                int r = put_template(d, js_iter_key(i), &chain, &l, reterr);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Their files and machines differ where upper and lower case, or dots and dashes, make no difference. */
static bool same_name(const char *a, const char *b) {
        for (; *a && *b; a++, b++)
                if (tolower((unsigned char) (*a == '.' ? '-' : *a)) !=
                                tolower((unsigned char) (*b == '.' ? '-' : *b)))
                        return false;
        return *a == *b;
}

static int check_names(const Matrix *m, char **reterr) {
        for (size_t i = 0; i < m->n_guests; i++)
                for (size_t k = 0; k < i; k++)
                        if (same_name(m->guests[i].name, m->guests[k].name))
                                return error_set(reterr, -EEXIST,
                                                "the names of two guests are the same but for case and dots: '%s' and '%s'",
                                                m->guests[k].name, m->guests[i].name);
        return 0;
}

static int read_document(const Json *j, Matrix *m, char **reterr) {
        static const JsField fields[] = {
                { "jobs", JS_FIELD_UNSIGNED, offsetof(Document, jobs), false, NULL },
                { "defaults", JS_FIELD_CUSTOM, 0, false, keep_defaults },
                { "templates", JS_FIELD_CUSTOM, 0, false, keep_templates },
                { "guests", JS_FIELD_CUSTOM, 0, true, keep_guests },
        };
        Document d = { .jobs = LAYER_UNSET };
        size_t n = 0;
        int r;

        if (!js_is_object(j))
                return error_set(reterr, -EINVAL, "expected an object with the member 'guests'");
        r = js_dispatch(j, fields, ELEMENTSOF(fields), /* foreign= */ false, &d, reterr);
        if (r >= 0 && d.jobs != LAYER_UNSET && (d.jobs == 0 || d.jobs > JOBS_MAX))
                r = error_set(reterr, -ERANGE, "jobs: expected a number from 1 to %u, not %u", JOBS_MAX,
                                d.jobs);
        if (r >= 0)
                r = check_templates(&d, reterr);
        if (r < 0)
                return r;
        m->jobs = d.jobs == LAYER_UNSET ? 0 : d.jobs;
        m->guests = calloc(js_length(d.guests), sizeof(MatrixGuest));
        if (!m->guests)
                return -ENOMEM;
        for (size_t i = 0; r >= 0 && i < js_length(d.guests); i++) {
                r = read_guest(&d, i, m->guests + m->n_guests++, reterr);
                if (r >= 0)
                        r = count_arguments(m->guests + i, &n, reterr);
        }
        return r < 0 ? r : check_names(m, reterr);
}

int matrix_parse(const char *text, size_t size, bool yaml, Matrix *ret, char **reterr) {
        _cleanup_(matrix_done) Matrix m = {};
        _cleanup_js_ Json *j = NULL;
        int r = yaml ? yaml_json_read(text, size, "; use 'defaults', or 'extends' and 'templates'", &j,
                                       reterr)
                     : js_parse(text, size, &j, reterr);

        if (r >= 0)
                r = read_document(j, &m, reterr);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(m, (Matrix) {});
        return 0;
}

int matrix_single(const char *name, char *const *arguments, unsigned expect_status, Matrix *ret,
                char **reterr) {
        _cleanup_(matrix_done) Matrix m = {};
        int r = 0;

        if (!layer_name_valid(name))
                return error_set(reterr, -EINVAL,
                                "the name of the guest, '%s', is not fit for a file: use letters, digits, '.', '_' and '-'",
                                name);
        STRV_FOREACH(a, arguments) {
                if (streq(*a, "--"))
                        break;
                r = layer_check_argument(*a, reterr);
                if (r < 0)
                        return r;
        }
        m.guests = calloc(1, sizeof(MatrixGuest));
        if (!m.guests)
                return -ENOMEM;
        m.n_guests = 1;
        m.guests->expect_status = expect_status;
        m.guests->name = strdup(name);
        r = strv_copy(arguments, &m.guests->arguments);
        if (r < 0 || !m.guests->name)
                return -ENOMEM;
        *ret = TAKE_STRUCT(m, (Matrix) {});
        return 0;
}
