/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-argv.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "foreign-qemu-table.h"
#include "strutil.h"

bool foreign_is_program(const char *path, size_t n) {
        static const char *const names[] = { "qemu", "qemu-kvm", "kvm" };
        static const char *const beginnings[] = { "qemu-system-", "qemu-kvm-" };
        const char *slash = memrchr(path, '/', n), *name = slash ? slash + 1 : path;

        n -= (size_t) (name - path);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (strlen(names[i]) == n && memcmp(name, names[i], n) == 0)
                        return true;
        for (size_t i = 0; i < ELEMENTSOF(beginnings); i++)
                if (strlen(beginnings[i]) < n && memcmp(name, beginnings[i], strlen(beginnings[i])) == 0)
                        return true;
        return false;
}

const char *foreign_option_name(const char *word) {
        const char *name = startswith(word, "--") ?: startswith(word, "-");

        return name && qemu_option_argument(name) >= 0 ? name : NULL;
}

static bool is_option(const Word *w) {
        return !w->quoted && foreign_option_name(w->text);
}

/* Only blanks between two words, and how many. */
static size_t gap(const Words *w, const char *source, size_t before, bool *ret_plain) {
        size_t begin = w->items[before].end, end = w->items[before + 1].begin;

        *ret_plain = strspn(source + begin, " ") == end - begin;
        return end - begin;
}

static int is_measured(const char *name) {
        const EffectRow *row = effect_find(&qemu_options, name);

        return row && row->effect != EFFECT_NONE;
}

/* A word that may belong to -append's, and may also be something else. */
static int check_stray(const Words *w, size_t i, size_t stray, char **reterr) {
        static const char *const images[] = { ".img", ".raw", ".qcow2", ".iso", ".vmdk" };
        bool image = w->items[stray].quoted;

        /* What follows it is for init, and looks like options. */
        if (streq(w->items[stray].text, "--"))
                return error_set(reterr, -EINVAL,
                                "'--' after -append's '%s' is not in quotes, so the end of the kernel command line is unknown: put the whole kernel command line into one pair of quotes",
                                w->items[i].text);
        for (size_t k = 0; k < ELEMENTSOF(images); k++)
                image = image || endswith(w->items[stray].text, images[k]);
        if (!image)
                return 0;
        return error_set(reterr, -EINVAL,
                        "'%s' after -append's '%s' is neither an option nor its value: put the whole kernel command line into one pair of quotes",
                        w->items[stray].text, w->items[i].text);
}

/* The value of -append from argument i on, up to the next option, joined to one argument. The blanks are those of the source. */
static int join_append(const Words *w, const char *source, size_t i, size_t *ret_next, char ***argv,
                char ***notices, char **reterr) {
        size_t end = w->items[i].end, begin = w->items[i].begin, next = i + 1;
        _cleanup_free_ char *text = NULL;
        bool plain;
        int r;

        /* What was in quotes is whole; a word after it is a disk image. */
        for (; !w->items[i].quoted && next < w->n_items && !is_option(w->items + next); next++) {
                r = check_stray(w, i, next, reterr);
                if (r < 0)
                        return r;
                end = w->items[next].end;
        }
        *ret_next = next;
        if (next == i + 1)
                return strv_push(argv, w->items[i].text);
        /* ps puts one blank between arguments: further blanks belong to the arguments. */
        if (next < w->n_items && gap(w, source, next - 1, &plain) > 1 && plain)
                end = w->items[next].begin - 1;
        text = strndup(source + begin, end - begin);
        if (!text)
                return -ENOMEM;
        if (strpbrk(text, w->raw ? "\n" : "\n\\'\"")) /* nobody knows whose quotes these are */
                return error_set(reterr, -EINVAL,
                                "the kernel command line after -append is not in one pair of quotes, and contains quotes, backslashes or line ends: "
                                "write it as one quoted argument");
        r = strv_pushf(notices,
                        "-append has no quotes: the arguments up to the next option are taken as one command line, '%s'",
                        text);
        return r < 0 ? r : strv_consume(argv, TAKE_PTR(text));
}

/* An option's value: 1 if the next word is it, 0 if it is empty. */
static int has_value(const Words *w, const char *source, size_t i, char **reterr) {
        const char *name = w->items[i].text;
        bool plain;

        if (i + 1 >= w->n_items)
                return error_set(reterr, -EINVAL, "%s has no value: the line is truncated", name);
        if (!is_option(w->items + i + 1))
                return 1;
        /* ps shows an empty argument as two blanks. */
        if (gap(w, source, i, &plain) == 2 && plain)
                return 0;
        return error_set(reterr, -EINVAL, "%s has no value: an option follows, %s", name,
                        w->items[i + 1].text);
}

static int take_option(const Words *w, const char *source, size_t i, size_t *ret_next, char ***argv,
                char ***notices, char **reterr) {
        const char *name = foreign_option_name(w->items[i].text);
        int r = strv_push(argv, w->items[i].text);

        *ret_next = i + 1;
        if (r < 0 || qemu_option_argument(name) == 0)
                return r;
        r = has_value(w, source, i, reterr);
        if (r <= 0)
                return r < 0 ? r : strv_push(argv, "");
        if (streq(name, "append"))
                return join_append(w, source, i + 1, ret_next, argv, notices, reterr);
        r = strv_push(argv, w->items[i + 1].text);
        *ret_next = i + 2;
        if (r < 0 || i + 2 >= w->n_items || is_option(w->items + i + 2) || w->items[i + 2].text[0] == '-' ||
                        !is_measured(name))
                return r;
        return error_set(reterr, -EINVAL,
                        "'%s' after %s %s is neither an option nor its value: put quotes around arguments with blanks",
                        w->items[i + 2].text, w->items[i].text, w->items[i + 1].text);
}

int foreign_argv(const Words *words, const char *source, char ***ret, char ***notices, char **reterr) {
        _cleanup_strv_free_ char **argv = NULL;
        int r = 0;

        for (size_t i = 0, next; r >= 0 && i < words->n_items; i = next) {
                next = i + 1;
                if (i > 0 && foreign_option_name(words->items[i].text))
                        r = take_option(words, source, i, &next, &argv, notices, reterr);
                else
                        r = strv_push(&argv, words->items[i].text);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(argv);
        return 0;
}
