/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "grub-script.h"
#include "strutil.h"

#define BLOCK_MAX (64u * 1024u)

void grub_env_done(GrubEnv *env) {
        FOREACH_ARRAY(v, env->items, env->n_items) {
                free(v->name);
                free(v->value);
        }
        free(env->items);
        *env = (GrubEnv) {};
}

static GrubVariable *find(const GrubEnv *env, const char *name) {
        FOREACH_ARRAY(v, env->items, env->n_items)
                if (streq(v->name, name))
                        return v;
        return NULL;
}

const char *grub_env_get(const GrubEnv *env, const char *name) {
        const GrubVariable *v = find(env, name);

        return v ? v->value : NULL;
}

int grub_env_set(GrubEnv *env, const char *name, const char *value) {
        GrubVariable *v = find(env, name), *items;
        char *copy;

        if (strlen(value) > GRUB_VALUE_MAX || (!v && env->n_items >= GRUB_VARIABLES_MAX))
                return -E2BIG;
        copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        if (v) {
                free(v->value);
                v->value = copy;
                return 0;
        }
        items = reallocarray(env->items, env->n_items + 1, sizeof(GrubVariable));
        if (!items) {
                free(copy);
                return -ENOMEM;
        }
        env->items = items;
        items[env->n_items] = (GrubVariable) { strdup(name), copy };
        if (!items[env->n_items].name) {
                free(copy);
                return -ENOMEM;
        }
        env->n_items++;
        return 0;
}

int grub_env_parse(char *text, GrubEnv *env) {
        if (!startswith(text, "# GRUB Environment Block"))
                return 0;
        for (char *line; (line = strsep(&text, "\n"));) {
                char *equals = strchr(line, '=');
                int r;

                if (*line == '#' || !equals)
                        continue;
                *equals = 0;
                r = grub_env_set(env, line, equals + 1);
                if (r < 0)
                        return r;
        }
        return 0;
}

int grub_env_read(Volume *v, GrubEnv *env) {
        static const char *const places[] = { "/boot/grub2/grubenv", "/grub2/grubenv", "/boot/grub/grubenv",
                "/grub/grubenv" };

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                _cleanup_free_ char *text = NULL;
                int r = volume_text(v, places[i], BLOCK_MAX, &text, NULL, NULL);

                /* What cannot be read is not there: it only says what is preferred. */
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        continue;
                r = grub_env_parse(text, env);
                return r == -E2BIG ? 0 : r;
        }
        return 0;
}

int grub_env_expand(const GrubEnv *env, char **text) {
        _cleanup_(text_done) Text out = {};
        char *expanded;
        int r;

        for (const char *p = *text; *p;) {
                char name[64];
                bool braces;
                size_t n;

                if (*p != '$') {
                        n = strcspn(p, "$");
                        text_put_n(&out, p, n);
                        p += n;
                        continue;
                }
                braces = p[1] == '{';
                p += 1 + braces;
                for (n = 0; isalnum((unsigned char) p[n]) || p[n] == '_'; n++)
                        ;
                if (n < sizeof(name)) {
                        memcpy(name, p, n);
                        name[n] = 0;
                        text_put(&out, grub_env_get(env, name) ?: "");
                }
                p += n;
                if (braces && *p == '}')
                        p++;
                if (out.size > GRUB_WORD_MAX)
                        return -E2BIG;
        }
        r = text_finish(&out, &expanded);
        if (r < 0)
                return r;
        free(*text);
        *text = expanded;
        return 0;
}
