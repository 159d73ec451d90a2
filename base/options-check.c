/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "options-check.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "nearest.h"
#include "strutil.h"

bool options_list_has(const char *list, const char *word) {
        size_t n = strlen(word);

        for (const char *s = list ?: ""; *s; s += strspn(s, " ")) {
                size_t k = strcspn(s, " ");

                if (k == n && strncmp(s, word, n) == 0)
                        return true;
                s += k;
        }
        return false;
}

/* "show, verify or split", of all commands or of those that have an option; owned, NULL: none, or out of memory. */
static char *command_names(const OptionTable *t, const char *option, const char *quote) {
        _cleanup_(text_done) Text text = {};
        size_t n = 0, i = 0;
        char *s = NULL;

        FOREACH_ARRAY(c, t->commands, t->n_commands)
                n += c->name && (!option || options_list_has(c->options, option));
        FOREACH_ARRAY(c, t->commands, t->n_commands)
                if (c->name && (!option || options_list_has(c->options, option)))
                        text_putf(&text, "%s%s%s%s",
                                        i++ == 0                 ? ""
                                                        : i == n ? " or "
                                                                 : ", ",
                                        quote, c->name, quote);
        return n > 0 && text_finish(&text, &s) >= 0 ? s : NULL;
}

static int unknown_command(const OptionTable *t, const char *word, char **reterr) {
        _cleanup_free_ char *names = command_names(t, NULL, "");
        Nearest nearest = nearest_to(word ?: "", strlen(word ?: ""));

        if (!names)
                return -ENOMEM;
        if (!word)
                return error_set(reterr, -EINVAL, "expected %s, see --help", names);
        FOREACH_ARRAY(c, t->commands, t->n_commands)
                if (c->name)
                        nearest_offer(&nearest, c->name);
        if (nearest.best)
                return error_set(reterr, -EINVAL, "expected %s, not '%s'; did you mean '%s'?", names, word,
                                nearest.best);
        return error_set(reterr, -EINVAL, "expected %s, not '%s'", names, word);
}

static int meaningless(const OptionTable *t, const OptionCommand *c, const char *option, char **reterr) {
        _cleanup_free_ char *names = command_names(t, option, "'");

        if (!names)
                return error_set(reterr, -EINVAL, "--%s has no meaning for '%s'; remove it, see --help",
                                option, c->name ?: "");
        if (!c->name)
                return error_set(reterr, -EINVAL, "--%s has no meaning without a subcommand; use it with %s",
                                option, names);
        return error_set(reterr, -EINVAL, "--%s has no meaning for '%s'; use it with %s", option, c->name,
                        names);
}

/* A subcommand is the first argument, or the first two. */
static bool is_command(const OptionCommand *c, char *const *arguments) {
        const char *first = arguments ? arguments[0] : NULL;
        size_t n = first ? strlen(first) : 0;

        if (!c->name || !first)
                return !c->name && !first;
        if (strncmp(c->name, first, n) != 0 || (c->name[n] && c->name[n] != ' '))
                return false;
        return !c->name[n] || (arguments[1] && streq(c->name + n + 1, arguments[1]));
}

/* A lone argument, unless it is a mistyped subcommand. */
static bool may_be_argument(const OptionTable *t, char *const *arguments) {
        Nearest nearest;

        if (!t->command_optional || strv_length(arguments) != 1)
                return false;
        nearest = nearest_to(arguments[0], strlen(arguments[0]));
        FOREACH_ARRAY(c, t->commands, t->n_commands)
                nearest_offer(&nearest, c->name);
        return !nearest.best || access(arguments[0], F_OK) == 0;
}

/* Every option given must go with the subcommand. */
static int check_command(const OptionTable *t, const bool *given, char *const *arguments, char **reterr) {
        const OptionCommand *command = NULL;

        FOREACH_ARRAY(c, t->commands, t->n_commands)
                if (is_command(c, arguments))
                        command = c;
        if (!command && may_be_argument(t, arguments))
                return 0;
        if (!command)
                return unknown_command(t, arguments ? arguments[0] : NULL, reterr);
        for (size_t i = 0; i < t->n_rows; i++)
                if (given[i] && !options_list_has(command->options, t->rows[i].name))
                        return meaningless(t, command, t->rows[i].name, reterr);
        return 0;
}

/* The first option of a list that was given, or NULL. */
static const char *first_given(const OptionTable *t, const bool *given, const char *list) {
        for (size_t i = 0; list && i < t->n_rows; i++)
                if (given[i] && options_list_has(list, t->rows[i].name))
                        return t->rows[i].name;
        return NULL;
}

static int check_rules(const OptionTable *t, const bool *given, char **reterr) {
        FOREACH_ARRAY(rule, t->rules, t->n_rules) {
                const char *option = first_given(t, given, rule->options);
                const char *other = option ? first_given(t, given, rule->excludes) : NULL;
                const char *colon = rule->why ? ": " : "", *why = rule->why ?: "";

                if (other)
                        return error_set(reterr, -EINVAL,
                                        "--%s has no meaning together with --%s%s%s; remove one of them",
                                        other, option, colon, why);
                if (option && rule->needs && !first_given(t, given, rule->needs))
                        return error_set(reterr, -EINVAL, "--%s has no meaning without --%.*s%s%s", option,
                                        (int) strcspn(rule->needs, " "), rule->needs, colon, why);
        }
        return 0;
}

int options_check(const OptionTable *t, const bool *given, char *const *arguments, char **reterr) {
        int r = 0;

        if (first_given(t, given, "help version"))
                return 0;
        if (t->n_commands > 0)
                r = check_command(t, given, arguments, reterr);
        return r < 0 ? r : check_rules(t, given, reterr);
}

void options_commands(const OptionTable *t, FILE *f) {
        FOREACH_ARRAY(c, t->commands, t->n_commands) {
                fputs(c->name ?: "", f);
                for (const char *s = c->options ?: ""; *s; s += strspn(s, " ")) {
                        size_t k = strcspn(s, " ");

                        fprintf(f, "\t--%.*s", (int) k, s);
                        s += k;
                }
                fputc('\n', f);
        }
}
