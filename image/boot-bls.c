/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* UAPI group, Boot Loader Specification, type 1: loader/entries/NAME.conf. Fedora's GRUB reads the same files and expands variables of
 * grubenv in them, which are unset where they are not there. */

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot-entry.h"
#include "error.h"
#include "grub-script.h"
#include "strutil.h"

#define ENTRY_MAX  (64u * 1024u)
#define LOADER_MAX (64u * 1024u)

/* The value of a line "key value", and the key cut off; NULL for comments and empty lines. */
static char *split_line(char *line, char **ret_key) {
        size_t n = strlen(line);

        while (n > 0 && strchr(" \t\r", line[n - 1]))
                line[--n] = 0;
        line += strspn(line, " \t");
        if (!*line || *line == '#')
                return NULL;
        *ret_key = strsep(&line, " \t");
        return line ? line + strspn(line, " \t") : NULL;
}

static int set_once(char **field, const char *value) {
        if (*field)
                return 0;
        *field = strdup(value);
        return *field ? 0 : -ENOMEM;
}

/* initrd can stand in several lines, and for GRUB have several files in one. */
static int add_initrds(BootEntry *e, char *value) {
        for (char *word; (word = strsep(&value, " \t"));) {
                int r;

                if (!*word || *word == '$')
                        continue;
                if (strv_length(e->initrds) >= BOOT_INITRDS_MAX)
                        return -E2BIG;
                r = strv_push(&e->initrds, word);
                if (r < 0)
                        return r;
        }
        return 0;
}

int boot_bls_parse(const char *file, char *text, BootEntry *ret, char **reterr) {
        _cleanup_(boot_entry_done) BootEntry e = { .source = BOOT_BLS };
        _cleanup_(text_done) Text words = {};
        bool has_words = false;
        int r = 0;

        for (char *line; r >= 0 && (line = strsep(&text, "\n"));) {
                char *key, *value = split_line(line, &key);

                if (!value)
                        continue;
                if (streq(key, "title"))
                        r = set_once(&e.title, value);
                else if (streq(key, "version"))
                        r = set_once(&e.version, value);
                else if (streq(key, "sort-key"))
                        r = set_once(&e.sort_key, value);
                else if (streq(key, "linux"))
                        r = set_once(&e.kernel, value);
                else if (streq(key, "initrd"))
                        r = add_initrds(&e, value);
                else if (streq(key, "options")) {
                        has_words = true;
                        text_putf(&words, "%s%s", words.size > 0 ? " " : "", value);
                }
        }
        if (r >= 0 && has_words)
                r = text_finish(&words, &e.words);
        if (r >= 0 && e.words)
                r = boot_words_clean(e.words);
        if (r >= 0 && !e.kernel)
                return error_set(reterr, -ENOENT, "it names no kernel ('linux')");
        if (r < 0)
                return error_set(reterr, r, "%s",
                                r == -EBADMSG ? "its options have control characters" : strerror(-r));
        r = set_once(&e.file, file);
        if (r < 0)
                return r;
        *ret = TAKE_STRUCT(e, (BootEntry) {});
        return 0;
}

/* NAME[+LEFT[-DONE]].conf: the entry's id, and whether no tries are left. */
static int read_name(const char *name, BootEntry *e) {
        const char *plus = strrchr(name, '+');
        size_t n = strlen(name) - strlen(".conf");
        char *end = NULL;

        if (plus && plus[1] >= '0' && plus[1] <= '9') {
                unsigned long left = strtoul(plus + 1, &end, 10);

                if (*end == '-' || strcasecmp(end, ".conf") == 0) {
                        n = (size_t) (plus - name);
                        e->bad = left == 0;
                }
        }
        e->id = strndup(name, n);
        return e->id ? 0 : -ENOMEM;
}

static int read_entry(
                Volume *v, const char *directory, const char *name, const GrubEnv *env, BootEntries *l) {
        _cleanup_(boot_entry_done) BootEntry e = {};
        _cleanup_free_ char *path = NULL, *text = NULL;
        char *error = NULL;
        size_t size;
        int r;

        if (asprintf(&path, "%s/%s", directory, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = volume_text(v, path, ENTRY_MAX, &text, &size, &error);
        if (r >= 0 && strlen(text) != size)
                r = error_set(&error, -EBADMSG, "it is not a text file");
        if (r >= 0)
                r = boot_bls_parse(path, text, &e, &error);
        if (r >= 0 && e.words && strchr(e.words, '$'))
                r = grub_env_expand(env, &e.words);
        if (r >= 0 && e.words)
                r = boot_words_clean(e.words);
        if (r >= 0)
                r = read_name(name, &e);
        if (r < 0)
                return boot_entries_problem(l, path, r, error);
        free(error);
        if (!e.version)
                r = boot_version_of(e.kernel, &e.version);
        return r < 0 ? r : boot_entries_add(l, &e);
}

/* loader.conf's default, a pattern or "@saved"; and Fedora's saved_entry. */
static int mark_default(Volume *v, const char *boot, const GrubEnv *env, BootEntries *l, size_t first) {
        _cleanup_free_ char *path = NULL, *text = NULL, *pattern = NULL;
        const char *saved = grub_env_get(env, "saved_entry");
        char *rest;

        if (asprintf(&path, "%s/loader/loader.conf", boot) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (volume_text(v, path, LOADER_MAX, &text, NULL, NULL) >= 0) {
                rest = text;
                for (char *line; !pattern && (line = strsep(&rest, "\n"));) {
                        char *key, *value = split_line(line, &key);

                        if (value && streq(key, "default"))
                                pattern = strdup(value);
                }
        }
        for (size_t i = first; i < l->n_items; i++) {
                BootEntry *e = l->items + i;
                _cleanup_free_ char *name = NULL;

                if (asprintf(&name, "%s.conf", e->id) < 0) {
                        name = NULL;
                        return -ENOMEM;
                }
                e->preferred = (saved && streq(saved, e->id)) ||
                                (pattern &&
                                                (fnmatch(pattern, e->id, 0) == 0 ||
                                                                fnmatch(pattern, name, 0) == 0));
        }
        return 0;
}

int boot_find_bls(Volume *v, BootEntries *l, char **reterr) {
        static const char *const places[] = { "", "/boot", "/efi", "/boot/efi" };

        for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                _cleanup_free_ char *directory = NULL;
                _cleanup_strv_free_ char **names = NULL;
                _cleanup_(grub_env_done) GrubEnv env = {};
                size_t first = l->n_items;
                int r;

                if (asprintf(&directory, "%s/loader/entries", places[i]) < 0) {
                        directory = NULL;
                        return -ENOMEM;
                }
                r = boot_list(v, directory, "", ".conf", &names, reterr);
                if (r >= 0 && names)
                        r = grub_env_read(v, &env);
                STRV_FOREACH(name, r < 0 ? NULL : names) {
                        r = read_entry(v, directory, *name, &env, l);
                        if (r < 0)
                                return r;
                }
                if (r >= 0 && l->n_items > first)
                        r = mark_default(v, places[i], &env, l, first);
                if (r < 0)
                        return r;
        }
        return 0;
}
