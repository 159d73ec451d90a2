/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The options as JSON, in the form that systemd's programs print: application/vnd.io.systemd.cli-introspection-0 (systemd 262,
 * `systemd-vmspawn --introspect-cli`). Subcommands are commands of their full name. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "options-check.h"
#include "strutil.h"

#define MEDIA_TYPE "application/vnd.io.systemd.cli-introspection-0"

static const char *const arguments[] = {
        [OPTION_NONE] = "no_argument",
        [OPTION_REQUIRED] = "required_argument",
        [OPTION_OPTIONAL] = "optional_argument",
};
static_assert(ELEMENTSOF(arguments) == _OPTION_ARG_MAX, "every kind of argument has a name");

/* One line of it. */
static char *help_line(const char *help) {
        char *s = strdup(help);

        for (char *p = s; p && (p = strchr(p, '\n'));)
                *p = ' ';
        return s;
}

static int put_option(Json *list, const OptionRow *row, const char *group) {
        _cleanup_free_ char *name = NULL, *letter = NULL, *help = help_line(row->help);
        _cleanup_js_ Json *o = js_object(), *names = js_array(), *groups = NULL;
        int r = o && names && help ? 0 : -ENOMEM;

        if (r >= 0 && asprintf(&name, "--%s", row->name) < 0) {
                name = NULL;
                r = -ENOMEM;
        }
        if (r >= 0 && row->letter && asprintf(&letter, "-%c", row->letter) < 0) {
                letter = NULL;
                r = -ENOMEM;
        }
        if (r >= 0 && letter)
                r = js_append(names, js_string(letter));
        if (r >= 0)
                r = js_append(names, js_string(name));
        if (r >= 0)
                r = js_set(o, "names", TAKE_PTR(names));
        if (r >= 0)
                r = js_set(o, "argument", js_string(arguments[row->arg]));
        if (r >= 0 && row->metavar)
                r = js_set(o, "metavar", js_string(row->metavar));
        if (r >= 0 && *help)
                r = js_set(o, "help", js_string(help));
        if (r >= 0 && group)
                r = js_build(&groups, "[s]", group);
        if (r >= 0 && groups)
                r = js_set(o, "group", TAKE_PTR(groups));
        return r < 0 ? r : js_append(list, TAKE_PTR(o));
}

/* Those of a subcommand, or all. What is refused in every case is left out. */
static int put_options(Json *command, const OptionTable *t, const OptionCommand *c) {
        _cleanup_js_ Json *list = js_array();
        const char *group = NULL;
        int r = list ? 0 : -ENOMEM;

        FOREACH_ARRAY(row, t->rows, t->n_rows) {
                group = row->group ?: group;
                if (r >= 0 && !(row->flags & OPTION_UNSUPPORTED) &&
                                (!c || options_list_has(c->options, row->name)))
                        r = put_option(list, row, group);
        }
        return r < 0 ? r : js_set(command, "options", TAKE_PTR(list));
}

static int put_command(Json *list, const OptionTable *t, const OptionCommand *c) {
        _cleanup_free_ char *name = NULL;
        _cleanup_js_ Json *o = NULL;
        int r;

        if (asprintf(&name, "%s%s%s", t->program, c ? " " : "", c ? c->name : "") < 0) {
                name = NULL;
                return -ENOMEM;
        }
        r = js_build(&o, "{s:[s], s:s, s:s, s:[s]}", "names", name, "project", "cvmspawn", "version",
                        CVMSPAWN_VERSION, "abstract", c ? c->summary : t->summary);
        if (r >= 0)
                r = put_options(o, t, c);
        return r < 0 ? r : js_append(list, TAKE_PTR(o));
}

static int introspect(const OptionTable *t, char **ret) {
        _cleanup_js_ Json *root = js_object(), *list = js_array();
        int r = root && list ? put_command(list, t, NULL) : -ENOMEM;

        FOREACH_ARRAY(c, t->commands, t->n_commands)
                if (r >= 0 && c->name)
                        r = put_command(list, t, c);
        if (r >= 0)
                r = js_set(root, "mediaType", js_string(MEDIA_TYPE));
        if (r >= 0)
                r = js_set(root, "commands", TAKE_PTR(list));
        if (r < 0)
                return r;
        *ret = js_text(root, JS_SHORT);
        return *ret ? 0 : -ENOMEM;
}

void options_introspect(const OptionTable *t, FILE *f) {
        _cleanup_free_ char *text = NULL;

        if (introspect(t, &text) >= 0)
                fprintf(f, "%s\n", text);
}
