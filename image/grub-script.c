/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Twice through the text: first the script, which sets variables and makes the menu; then, with the variables at its end, the body of each
 * entry. */

#include "grub-script.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "grub-command.h"
#include "strutil.h"

typedef struct Run {
        Script s;
        GrubEnv *env;       /* weak */
        GrubMenu *menu;     /* weak; NULL in an entry */
        GrubEntry *entry;   /* weak */
        const char *prefix; /* of positions */
        unsigned position, level;
        struct {
                bool active, taken, outer;
        } stack[GRUB_DEPTH_MAX];
        unsigned depth;
} Run;

static bool active(const Run *run) {
        return run->depth == 0 || run->stack[run->depth - 1].active;
}

static int push(Run *run, bool yes) {
        bool outer = active(run);

        if (run->depth >= GRUB_DEPTH_MAX)
                return error_set(run->s.reterr, -E2BIG, "conditions are nested too deeply");
        run->stack[run->depth].outer = outer;
        run->stack[run->depth].active = run->stack[run->depth].taken = outer && yes;
        run->depth++;
        return 0;
}

static void branch(Run *run, bool yes) {
        if (run->depth == 0)
                return;
        run->stack[run->depth - 1].active =
                        run->stack[run->depth - 1].outer && !run->stack[run->depth - 1].taken && yes;
        run->stack[run->depth - 1].taken |= run->stack[run->depth - 1].active;
}

static int take_words(char *const *w, char ***to) {
        char **copy = NULL;
        int r = strv_copy(w + 1, &copy);

        if (r < 0)
                return r;
        strv_free(*to);
        *to = copy;
        return 0;
}

static int execute(Run *run, char *const *w) {
        char *equals;

        if (streq(w[0], "set") && w[1] && (equals = strchr(w[1], '='))) {
                _cleanup_free_ char *name = strndup(w[1], (size_t) (equals - w[1]));
                int r = name ? grub_env_set(run->env, name, equals + 1) : -ENOMEM;

                return r < 0 ? error_set(run->s.reterr, r, "a variable is too long, or there are too many")
                             : 0;
        }
        if (streq(w[0], "unset") && w[1])
                return grub_env_set(run->env, w[1], "");
        if (run->entry && startswith(w[0], "linux") && w[1])
                return take_words(w, &run->entry->linux_);
        if (run->entry && startswith(w[0], "initrd") && w[1])
                return take_words(w, &run->entry->initrd);
        return 0;
}

static int run_script(Run *run);

/* menuentry TITLE [--id ID | $menuentry_id_option ID] ... { */
static int add_entry(Run *run, char *const *w, const char *body, size_t n, const char *position) {
        GrubMenu *m = run->menu;
        GrubEntry *items;

        if (m->n_items >= GRUB_MENU_MAX)
                return error_set(run->s.reterr, -E2BIG, "its menu has more than %u entries", GRUB_MENU_MAX);
        items = reallocarray(m->items, m->n_items + 1, sizeof(GrubEntry));
        if (!items)
                return -ENOMEM;
        m->items = items;
        items[m->n_items] = (GrubEntry) { .body = body, .n_body = n };
        items[m->n_items].title = strdup(w[1] ?: "");
        items[m->n_items].position = strdup(position);
        for (size_t i = 1; w[i]; i++)
                if (streq(w[i], "--id") && w[i + 1] && !items[m->n_items].id)
                        items[m->n_items].id = strdup(w[i + 1]);
        m->n_items++;
        return items[m->n_items - 1].title && items[m->n_items - 1].position ? 0 : -ENOMEM;
}

static int read_block(Run *run, char *const *w) {
        _cleanup_free_ char *position = NULL;
        const char *body;
        bool menu;
        size_t n;
        int r = command_skip_block(&run->s, &body, &n);

        if (r < 0 || !w || !active(run) || !run->menu)
                return r;
        menu = streq(w[0], "submenu");
        if (!menu && !streq(w[0], "menuentry"))
                return 0;
        if (asprintf(&position, "%s%u", run->prefix, run->position++) < 0) {
                position = NULL;
                return -ENOMEM;
        }
        if (!menu)
                return add_entry(run, w, body, n, position);
        if (run->level >= GRUB_DEPTH_MAX)
                return error_set(run->s.reterr, -E2BIG, "menus are nested too deeply");
        {
                _cleanup_free_ char *prefix = NULL;
                Run inner = { .s = run->s, .env = run->env, .menu = run->menu, .level = run->level + 1 };

                if (asprintf(&prefix, "%s>", position) < 0) {
                        prefix = NULL;
                        return -ENOMEM;
                }
                inner.s.p = body;
                inner.s.end = body + n;
                inner.prefix = prefix;
                return run_script(&inner);
        }
}

static int run_command(Run *run, char *const *w) {
        while (w && *w && (streq(*w, "then") || streq(*w, "do")))
                w++;
        if (!w || !*w)
                return 0;
        if (streq(*w, "if"))
                return push(run, command_condition(w + 1));
        if (streq(*w, "while") || streq(*w, "until") || streq(*w, "for"))
                return push(run, false);
        if (streq(*w, "elif")) {
                branch(run, command_condition(w + 1));
                return 0;
        }
        if (streq(*w, "else")) {
                branch(run, true);
                return w[1] ? run_command(run, w + 1) : 0;
        }
        if (streq(*w, "fi") || streq(*w, "done")) {
                run->depth -= run->depth > 0;
                return 0;
        }
        return active(run) ? execute(run, w) : 0;
}

static int run_script(Run *run) {
        for (;;) {
                _cleanup_(command_done) Command c = {};
                int r = command_read(&run->s, run->env, &c);

                if (r < 0 || c.end == COMMAND_EOF)
                        return r;
                r = c.end == COMMAND_BLOCK               ? read_block(run, c.words)
                                : c.end == COMMAND_PLAIN ? run_command(run, c.words)
                                                         : 0;
                if (r < 0)
                        return r;
        }
}

void grub_menu_done(GrubMenu *m) {
        FOREACH_ARRAY(e, m->items, m->n_items) {
                free(e->title);
                free(e->id);
                free(e->position);
                strv_free(e->linux_);
                strv_free(e->initrd);
        }
        free(m->items);
        grub_env_done(&m->env);
        *m = (GrubMenu) {};
}

/* What GRUB sets by itself on this platform. */
static int preset(const GrubEnv *from, GrubEnv *env) {
        static const GrubVariable known[] = { { (char *) "grub_platform", (char *) "efi" },
                { (char *) "grub_cpu", (char *) "x86_64" },
                { (char *) "feature_menuentry_id", (char *) "y" },
                { (char *) "menuentry_id_option", (char *) "--id" } };
        int r = 0;

        FOREACH_ARRAY(v, known, ELEMENTSOF(known))
                if (r >= 0)
                        r = grub_env_set(env, v->name, v->value);
        for (size_t i = 0; r >= 0 && from && i < from->n_items; i++)
                r = grub_env_set(env, from->items[i].name, from->items[i].value);
        return r;
}

int grub_menu_parse(const char *text, const GrubEnv *env, GrubMenu *ret, char **reterr) {
        _cleanup_(grub_menu_done) GrubMenu m = {};
        unsigned steps = 0;
        Run run = {
                .s = { text, text + strlen(text), &steps, reterr }, .env = &m.env, .menu = &m, .prefix = ""
        };
        int r = preset(env, &m.env);

        if (r >= 0)
                r = run_script(&run);
        for (size_t i = 0; r >= 0 && i < m.n_items; i++) {
                GrubEntry *e = m.items + i;
                _cleanup_(grub_env_done) GrubEnv own = {};
                Run inner = {
                        .s = { e->body, e->body + e->n_body, &steps, reterr }, .env = &own, .entry = e
                };

                for (size_t k = 0; r >= 0 && k < m.env.n_items; k++)
                        r = grub_env_set(&own, m.env.items[k].name, m.env.items[k].value);
                if (r >= 0)
                        r = run_script(&inner);
                e->body = NULL;
        }
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(m, (GrubMenu) {});
        return 0;
}

bool grub_menu_is_default(const GrubMenu *m, const GrubEntry *e) {
        const char *wanted = grub_env_get(&m->env, "default"), *last;

        if (!wanted || !*wanted)
                wanted = "0";
        last = strrchr(wanted, '>') ? strrchr(wanted, '>') + 1 : wanted;
        return streq(wanted, e->position) || streq(last, e->title) || streq_ptr(last, e->id);
}
